//! The longer words: tasks, faults, sentences and paragraphs.

pub(super) const MEDIUM_FUNCTIONS: &[&str] = &[
    "parses a date in three formats and returns a timestamp",
    "merges overlapping intervals",
    "groups log lines by their request id",
    "retries an HTTP call with exponential back-off",
    "caches results of a slow function with a size limit",
    "walks a directory and reports the ten largest files",
    "validates an IBAN and explains what is wrong with it",
    "turns a nested JSON object into flat key paths",
    "computes a moving average over a stream of readings",
    "finds the shortest path in a weighted graph",
    "implements a binary heap with push and pop",
    "renders a tree of comments with indentation",
    "diffs two lists of records by their key",
    "reads a CSV file with quoted fields without a library",
];

pub(super) const HARD_FUNCTIONS: &[&str] = &[
    "implements a lock-free queue for many producers with correct memory ordering",
    "schedules tasks with dependencies on worker threads and stops cleanly on cancellation",
    "balances a red-black tree under deletion and keeps iterators valid",
    "replicates a log between three nodes and elects a leader after a network split",
    "compiles a small expression language to byte code with constant folding",
    "streams a file of many gigabytes through an external merge sort with bounded memory",
    "implements a suffix automaton and counts distinct substrings in linear time",
    "resolves package versions with back-tracking and reports a minimal conflict",
    "applies operational transforms so that two editors converge",
    "verifies a Merkle proof and rejects every malleable encoding",
    "implements a rate limiter shared by several processes without a central lock",
    "garbage-collects a graph of handles with cycles, incrementally",
];

pub(super) const EASY_FUNCTIONS: &[&str] = &[
    "reverses a string",
    "counts the vowels in a sentence",
    "adds up the even numbers of a list",
    "checks whether a word is a palindrome",
    "turns Celsius into Fahrenheit",
    "finds the largest value of an array",
    "removes doubles from a list",
    "joins a list of names with commas",
    "tells whether a year is a leap year",
    "reads a file and prints each line",
    "capitalises every word of a title",
    "returns the last n items of a list",
    "pads a number with leading zeros",
    "splits a full name into first and last name",
];

pub(super) const EASY_BUGS: &[&str] = &[
    "prints None instead of the total",
    "raises an index out of range error on an empty list",
    "says that a variable is not defined",
    "never leaves the while loop",
    "compares strings with == and always gets false",
    "shows undefined on the page",
    "complains about a missing semicolon",
    "divides by zero for the first row",
];

pub(super) const MEDIUM_BUGS: &[&str] = &[
    "returns stale values because the cache key ignores the locale",
    "drops the last batch when the channel closes",
    "shifts every date by one day for users west of Greenwich",
    "leaks a file handle each time the parser throws",
    "runs the callback twice after a re-render",
    "fails only when two tests run at once",
    "truncates UTF-8 text in the middle of a character",
    "ignores the timeout once the connection is reused",
];

pub(super) const HARD_BUGS: &[&str] = &[
    "deadlocks once a week under load although both locks are always taken in one order",
    "corrupts the heap only with optimisation level three and a custom allocator",
    "loses updates when the leader changes between the read and the conditional write",
    "shows a data race that disappears as soon as logging is switched on",
    "grows without bound because finalisers run behind a blocked thread",
    "returns a different floating point sum on every machine of the cluster",
    "starves one consumer for minutes when priorities invert",
    "replays a message after a crash between the commit and the acknowledgement",
];

pub(super) const PHRASES: &[&str] = &[
    "The shop opens at nine and closes at six.",
    "Please leave your shoes at the door.",
    "My train is late again, start without me.",
    "Could you send me the address of the hotel?",
    "We ran out of milk this morning.",
    "The meeting has moved to the small room upstairs.",
    "Thank you for the lovely evening.",
    "The lift is broken, please use the stairs.",
    "I would like a table for two by the window.",
    "Your parcel is with the neighbour on the left.",
    "The children are playing behind the house.",
    "Keep the receipt in case you want to return it.",
    "It has been raining since Tuesday.",
    "Nobody told us that the museum was shut.",
];

pub(super) const PARAGRAPHS: &[&str] = &[
    "The tenant shall give notice in writing; should the deposit not suffice, the remainder falls due within a month",
    "He had a way of not answering which made the question seem rude, and the silence afterwards seem like tact",
    "Notwithstanding the above, the supplier remains liable for hidden defects that a careful inspection would miss",
    "Between the tide and the tower there was only grass, and a wind that had come a long way to say very little",
    "The patient reports a dull ache below the ribs which eases when leaning forward and worsens after rich food",
    "They call it the long table: you eat what there is, with whoever is there, until somebody starts to sing",
    "The valve seat must be lapped until contact is even, else the seal weeps at temperature and the shim is wasted",
    "Grandmother said the soup was ready when it stopped arguing with the lid, and no clock ever bettered her",
];

pub(super) const REPORTS: &[&str] = &[
    "the harbour council met to weigh a new ferry pier, heard fishermen who fear for their moorings, and put off the vote until the tide survey is in",
    "the bakery chain closed four shops, blamed flour prices and rent, and promised every baker a place in the new central kitchen",
    "a storm took down power lines in the valley, crews worked for two nights, and the last farms were back on the grid by Sunday noon",
    "the library lent more tools than novels last year, drills above all, and now plans a workshop room where the newspapers used to be",
    "the team changed its database in spring, saw slower nights and faster mornings, and traced the difference to one index",
    "a study of school gardens found that pupils who grew beans ate more greens, though the effect faded over the holidays",
    "the tram line opened late and over budget, yet carried twice the expected riders, so the city ordered six more cars",
    "bees in the orchard did better near the hedge than near the road, and the growers will plant two more hedges",
    "the museum found a letter behind a frame, dated it by the paper, and learnt that the painter had never been to the coast",
    "the night train returns after ten years, with fewer beds and more seats, and tickets that cost less than the flight",
];
