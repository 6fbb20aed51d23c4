//! What a configuration comes to when it has no fault. Nothing in here needs another check.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::dispatch::{Conduct, UpstreamLimits};
use crate::domain::{ArmId, Catalog, Experiment, PriceSource, ProviderId};
use crate::http::Tls;
use crate::policy::GuardSettings;
use crate::routing::Route;
use crate::service::{BudgetPlan, CacheSettings, JudgeSettings};
use crate::store::StoreAddress;

/// Everything that the service is started from.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The beginning of the SHA-256 of the text that they were read from, in hexadecimal digits.
    pub hash: String,
    /// The listener and its bounds.
    pub server: ServerSettings,
    /// `[server.tls]`; `None`: clients come in the clear.
    pub tls: Option<Tls>,
    /// Where the log lies and what of a prompt it keeps.
    pub store: StoreSettings,
    /// The local encoder.
    pub embedder: EmbedderSettings,
    /// When what was learned is published and saved.
    pub learning: LearningSettings,
    /// The sampled judge; its model is in `catalog` and on no route.
    pub judge: Option<JudgeSettings>,
    /// The response cache; `None`: answers are not kept.
    pub cache: Option<CacheSettings>,
    /// A challenger that is to get a share of the traffic.
    pub experiment: Option<ExperimentSettings>,
    /// Upstream accounts and servers, sorted by id, at least one.
    pub providers: Vec<ProviderSettings>,
    /// All arms; each one's provider is in `providers`.
    pub catalog: Catalog,
    /// Who says what each arm costs.
    pub prices_from: BTreeMap<ArmId, PriceSource>,
    /// USD per million tokens by which arms are compared when one is judged by its price; a declared tier's typical price, else
    /// three parts input to one part output. Free arms without a tier are left out.
    pub comparable_usd: BTreeMap<ArmId, f64>,
    /// What an arm that is new to the learner starts from, where the file says so.
    pub priors: BTreeMap<ArmId, PriorSource>,
    /// Arms that take no new conversations; no route's default is among them.
    pub draining: BTreeSet<ArmId>,
    /// All routes, sorted by name, at least one; each one's arms are in `catalog`.
    pub routes: Vec<Route>,
    /// What may be spent.
    pub budgets: BudgetPlan,
}

/// `[server]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerSettings {
    /// Where to listen; beyond loopback only with client keys.
    pub listen: SocketAddr,
    /// Where `/admin` is served, and only there; `None`: on `listen`, for callers on this machine.
    pub admin_listen: Option<SocketAddr>,
    /// Longest request body.
    pub max_body_bytes: usize,
    /// Requests in flight at one time; more are shed with 503.
    pub max_connections: usize,
    /// Of one client key; more are shed with 429.
    pub max_in_flight_per_key: usize,
    /// Connections that are open, idle ones too.
    pub max_open_connections: usize,
    /// From a connection's begin, or its last answer, to the end of the next request's head.
    pub header_timeout: Duration,
    /// Longest time in which a request's body must have come.
    pub body_timeout: Duration,
    /// Longest that a client may read nothing of an answer.
    pub write_timeout: Duration,
    /// Silence on a stream after which a comment keeps it alive.
    pub keep_alive: Duration,
    /// How long a stop waits for requests in flight.
    pub shutdown_grace: Duration,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin_listen: None,
            max_body_bytes: 8 << 20,
            max_connections: 1024,
            max_in_flight_per_key: 512,
            max_open_connections: 10_000,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(15),
            shutdown_grace: Duration::from_secs(30),
        }
    }
}

/// `[experiments.NAME]`
#[derive(Debug, Clone, PartialEq)]
pub struct ExperimentSettings {
    /// Its terms.
    pub experiment: Experiment,
    /// Where the challenger's bundle is looked for when the store does not have it yet.
    pub folder: PathBuf,
}

/// How much of a prompt the log keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StorePrompts {
    /// Nothing but the features.
    #[default]
    None,
    /// The first 200 characters of the last user message.
    Preview,
    /// The last user message.
    Full,
}

/// `[store]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// A file of SQLite or a database of Postgres; a relative path in a file counts from that file's folder.
    pub address: StoreAddress,
    /// How much of a prompt is kept.
    pub store_prompts: StorePrompts,
}

/// The store's file when nothing else is said.
pub const DEFAULT_STORE_FILE: &str = "pointsman.db";

impl Default for StoreSettings {
    fn default() -> Self {
        Self { address: PathBuf::from(DEFAULT_STORE_FILE).into(), store_prompts: StorePrompts::None }
    }
}

/// Where the encoder's weights come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum EmbedderWeights {
    /// Those inside the binary.
    #[default]
    BuiltIn,
    /// A folder with the same files.
    Folder(PathBuf),
}

/// Who reads prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum EmbedderKind {
    /// MiniLM while it answers in time, else the student.
    #[default]
    Adaptive,
    /// MiniLM alone.
    MiniLm,
    /// The student alone; MiniLM is not loaded.
    Student,
}

impl EmbedderKind {
    /// How long a request waits for MiniLM when the configuration does not say: with a student at hand there is little to gain.
    pub fn deadline(self) -> Duration {
        match self {
            Self::Adaptive | Self::Student => Duration::from_millis(100),
            Self::MiniLm => Duration::from_millis(500),
        }
    }
}

/// `[embedder]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbedderSettings {
    /// Who reads.
    pub kind: EmbedderKind,
    /// Where the weights come from.
    pub weights: EmbedderWeights,
    /// How long a request waits for MiniLM's vector before the student reads it or, where there is none, the route's default serves it.
    pub deadline: Duration,
    /// Encoder threads, at least 1.
    pub threads: usize,
    /// Longest text that is read.
    pub max_tokens: usize,
    /// Texts that may wait; more are not taken.
    pub queue: usize,
    /// Vectors kept for texts that come again.
    pub cache_entries: u64,
}

impl Default for EmbedderSettings {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            kind: EmbedderKind::default(),
            weights: EmbedderWeights::BuiltIn,
            deadline: EmbedderKind::default().deadline(),
            threads: cores.div_ceil(2).clamp(1, 8),
            max_tokens: 128,
            queue: 256,
            cache_entries: 4_096,
        }
    }
}

/// `[learning]`
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LearningSettings {
    /// A new snapshot after so many events,
    pub publish_every_events: u64,
    /// or after this time when fewer came.
    pub publish_within: Duration,
    /// A checkpoint after so many events, and at the stop.
    pub checkpoint_every_events: u64,
    /// How long after a decision reports on it are taken; `None`: for ever.
    pub feedback_window: Option<Duration>,
    /// How far reporters are believed.
    pub guard: GuardSettings,
    /// Whether a retry of the same ask, or an answer broken off by the client, counts as a weak report.
    pub implicit: bool,
}

impl Default for LearningSettings {
    fn default() -> Self {
        Self {
            publish_every_events: 32,
            publish_within: Duration::from_millis(200),
            checkpoint_every_events: 1000,
            feedback_window: Some(Duration::from_secs(30 * 86_400)),
            guard: GuardSettings::DEFAULT,
            implicit: false,
        }
    }
}

/// Which wire format a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProviderFormat {
    /// OpenAI itself.
    OpenAi,
    /// Chat completions as vLLM, Ollama, OpenRouter, Mistral, Groq and others serve them.
    OpenAiCompatible,
    /// Anthropic's messages.
    Anthropic,
    /// Google's `generateContent`.
    Gemini,
    /// Cohere's v2 chat.
    Cohere,
}

impl ProviderFormat {
    /// The name used in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::OpenAiCompatible => "openai-compatible",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Cohere => "cohere",
        }
    }
}

/// `[providers.ID]`
#[derive(Clone)]
pub struct ProviderSettings {
    /// Its id.
    pub id: ProviderId,
    /// What it speaks.
    pub format: ProviderFormat,
    /// Up to and including the version, for example `https://api.openai.com/v1`; never with a slash at the end.
    pub base_url: String,
    /// The key, read from the environment; `None`: the server wants none.
    pub api_key: Option<SecretString>,
    /// Sent with each call, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The header that carries the key, in lower case; `None`: the format's own.
    pub auth_header: Option<String>,
    /// Where calls go below `base_url`, with `{model}` for the model's name there; `None`: the format's own path.
    pub path: Option<String>,
    /// Added to each call's URL.
    pub query: Vec<(String, String)>,
    /// Who may vouch for the server, PEM; `None`: the system's authorities.
    pub ca_pem: Option<Arc<[u8]>>,
    /// Whether link-local and metadata addresses may be called.
    pub allow_link_local: bool,
    /// What it may be sent.
    pub limits: UpstreamLimits,
    /// How its models are called when they are asked for by name.
    pub conduct: Conduct,
}

/// Header values may hold secrets, so only their names are shown.
impl fmt::Debug for ProviderSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("ProviderSettings")
            .field("id", &self.id)
            .field("format", &self.format)
            .field("base_url", &self.base_url)
            .field("has_key", &self.api_key.is_some())
            .field("headers", &names)
            .field("limits", &self.limits)
            .field("conduct", &self.conduct)
            .finish()
    }
}

/// Where the first expectation of an arm's quality comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum PriorSource {
    /// A CSV file with the columns `prompt` and `quality`.
    Sheet(PathBuf),
    /// What has been learned of another arm.
    Like(ArmId),
    /// What arms of about its price have turned out to be.
    Price,
}
