//! The words that templates are filled with: one list per slot.

mod passages;

use passages::{
    EASY_BUGS, EASY_FUNCTIONS, HARD_BUGS, HARD_FUNCTIONS, MEDIUM_BUGS, MEDIUM_FUNCTIONS, PARAGRAPHS, PHRASES,
    REPORTS,
};

/// The list for a slot; `None` for a slot that does not exist.
pub(super) fn words(slot: &str) -> Option<&'static [&'static str]> {
    Some(match slot {
        "lang" => PROGRAMMING,
        "fn_easy" => EASY_FUNCTIONS,
        "fn_mid" => MEDIUM_FUNCTIONS,
        "fn_hard" => HARD_FUNCTIONS,
        "bug_easy" => EASY_BUGS,
        "bug_mid" => MEDIUM_BUGS,
        "bug_hard" => HARD_BUGS,
        "table" => TABLES,
        "column" => COLUMNS,
        "tongue" => TONGUES,
        "phrase" => PHRASES,
        "paragraph" => PARAGRAPHS,
        "report" => REPORTS,
        "person" => PEOPLE,
        "town" => TOWNS,
        "goods" => GOODS,
        "trade" => TRADES,
        "month" => MONTHS,
        "weekday" => WEEKDAYS,
        "verdict" => OPINIONS,
        "topic" => TOPICS,
        "mood" => MOODS,
        "form" => FORMS,
        "scene" => SCENES,
        "format" => FORMATS,
        "worry" => WORRIES,
        "hobby" => HOBBIES,
        "function" => FUNCTIONS,
        "audience" => AUDIENCES,
        _ => return None,
    })
}

const PROGRAMMING: &[&str] = &[
    "Python",
    "Rust",
    "Go",
    "TypeScript",
    "Java",
    "C++",
    "Kotlin",
    "Ruby",
    "Swift",
    "JavaScript",
    "C#",
    "Scala",
];

const FUNCTIONS: &[&str] = &[
    "load_orders",
    "mergeCarts",
    "parse_header",
    "syncCalendar",
    "apply_discount",
    "renderChart",
    "flush_queue",
    "resolveUser",
    "scan_inbox",
    "update_stock",
    "packFrames",
    "read_config",
    "matchRoutes",
    "drain_pool",
    "score_leads",
    "buildIndex",
    "rotate_keys",
    "encodeTrack",
    "close_ledger",
    "plan_shifts",
];

const TABLES: &[&str] = &[
    "orders",
    "customers",
    "invoices",
    "shipments",
    "employees",
    "tickets",
    "sensors",
    "bookings",
    "payments",
    "products",
    "visits",
    "loans",
    "courses",
    "flights",
    "subscriptions",
    "repairs",
];

const COLUMNS: &[&str] = &[
    "region",
    "status",
    "created_at",
    "amount",
    "category",
    "priority",
    "country",
    "channel",
    "owner_id",
    "weight",
    "duration",
    "currency",
    "supplier",
    "grade",
];

const TONGUES: &[&str] = &[
    "French",
    "German",
    "Spanish",
    "Italian",
    "Portuguese",
    "Dutch",
    "Polish",
    "Swedish",
    "Turkish",
    "Japanese",
    "Czech",
    "Finnish",
    "Greek",
    "Korean",
];

const PEOPLE: &[&str] = &[
    "Marta Lindqvist",
    "Tomas Adeyemi",
    "Ines Carvalho",
    "Jonas Petrov",
    "Aiko Brandt",
    "Rafael Nwosu",
    "Lena Fischer",
    "Omar Haddad",
    "Clara Voss",
    "Piotr Zielinski",
    "Nadia Rahman",
    "Hugo Lambert",
    "Sofia Marchetti",
    "Emil Sorensen",
    "Yara Mansour",
    "Viktor Hale",
];

const TOWNS: &[&str] = &[
    "Bergen", "Porto", "Leipzig", "Turku", "Ghent", "Trieste", "Cork", "Brno", "Malmo", "Nantes", "Gdansk",
    "Bilbao", "Utrecht", "Graz",
];

const GOODS: &[&str] = &[
    "oak chairs",
    "bicycle lamps",
    "coffee beans",
    "wool blankets",
    "printer cartridges",
    "garden hoses",
    "olive oil",
    "ceramic tiles",
    "hiking boots",
    "desk fans",
    "sheet music",
    "paint brushes",
    "steel pans",
    "notebooks",
];

const TRADES: &[&str] = &[
    "plumber",
    "florist",
    "carpenter",
    "courier",
    "gardener",
    "baker",
    "tailor",
    "painter",
    "beekeeper",
    "glazier",
    "watchmaker",
    "printer",
];

const MONTHS: &[&str] = &[
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const WEEKDAYS: &[&str] = &["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

const OPINIONS: &[&str] = &[
    "arrived two days early and works like a charm",
    "broke on the first evening and nobody answers my mails",
    "does what it should, nothing more",
    "was lovely once I had read the manual three times",
    "is so good that I bought a second one, which came in the wrong colour",
    "smells odd but holds tight",
    "was a gift, and I have never seen my aunt so politely silent",
    "costs too much for what it is",
    "saved our holiday",
    "would be perfect if it did what the box says",
];

const TOPICS: &[&str] = &[
    "tides",
    "volcanoes",
    "compound interest",
    "sourdough",
    "black holes",
    "the printing press",
    "vaccines",
    "jet lag",
    "photosynthesis",
    "inflation",
    "chess openings",
    "beavers",
    "northern lights",
    "sleep",
    "coral reefs",
    "glaciers",
    "fermentation",
    "migration of birds",
    "lighthouses",
    "earthquakes",
];

const MOODS: &[&str] = &[
    "wistful",
    "cheerful",
    "eerie",
    "tender",
    "dry-humoured",
    "solemn",
    "playful",
    "bitter-sweet",
    "restless",
    "calm",
];

const FORMS: &[&str] =
    &["poem", "short story", "song text", "monologue", "fable", "limerick", "letter", "fairy tale"];

const SCENES: &[&str] = &[
    "a lighthouse keeper who collects lost umbrellas",
    "a tram that runs only at midnight",
    "two rivals who share a garden wall",
    "a clock maker who is always late",
    "the last apple of a long winter",
    "a robot that learns to whistle",
    "a village where nobody closes the doors",
    "an old map with one wrong island",
    "a cat that inherits a bookshop",
    "the night when the river ran backwards",
    "a postman with a single letter left",
    "a choir that sings to a glacier",
];

const FORMATS: &[&str] = &["JSON", "YAML", "a Markdown table", "CSV", "XML", "TOML", "an HTML list"];

const WORRIES: &[&str] = &[
    "I have a job interview and cannot sleep",
    "my flatmate never washes up",
    "I forgot my best friend's birthday",
    "my boss moved the deadline again",
    "I want to learn the guitar but lose heart",
    "we cannot agree where to spend the holidays",
    "my neighbour's dog barks all night",
    "I feel lonely in the new town",
    "my sister does not answer my messages",
    "I said yes to too many things this week",
];

const HOBBIES: &[&str] = &[
    "birdwatching",
    "bread baking",
    "bouldering",
    "knitting",
    "chess",
    "sailing",
    "pottery",
    "jogging",
    "stargazing",
    "gardening",
    "photography",
    "juggling",
];

const AUDIENCES: &[&str] = &[
    "a child of eight",
    "my grandfather",
    "a busy manager",
    "a curious teenager",
    "a new colleague",
    "a tourist",
];
