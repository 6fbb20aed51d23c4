//! The composition root: the only place that sees everything. Start order and stop order stand here, each in one function.

mod experiments;
mod fleet;
mod reload;
mod roster;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::{
    ConfigFaults, EmbedderKind, EmbedderSettings, EmbedderWeights, ServerSettings, Settings, StorePrompts,
};
use crate::dispatch::Health;
use crate::domain::{BudgetLimits, ExperimentName, Period, Seq};
use crate::embed::{EmbedError, Encoder, EncoderOptions, Student, WeightSource, Windower};
use crate::http::{AdminTo, Api, OpenWithoutKeys, Places, ServeOptions, Tls};
use crate::learning::{Actor, LearnerSource, LearningError, LearningHandle, LearningOptions};
use crate::policy::{self, GuardSettings, LearnedState, Learner, StateError};
use crate::provider::ProviderBuildError;
use crate::routing::prior::{PriorError, shipped as shipped_prior};
use crate::routing::{FeaturizeError, Featurizer};
use crate::service::{
    self, BudgetPlan, Fleet, FleetError, Implicit, Judge, KeepPrompts, Live, Reader, Reading, ReplaySource,
    ResponseCache, Service, Sessions, Spend,
};
use crate::store::{Store, StoreError, StoreOptions};
use crate::telemetry::Metrics;

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The log cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The learner cannot be started.
    #[error(transparent)]
    Learning(#[from] LearningError),
    /// The learner's state cannot be made.
    #[error(transparent)]
    State(#[from] StateError),
    /// The encoder cannot be started.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// The feature numbers are damaged.
    #[error(transparent)]
    Featurize(#[from] FeaturizeError),
    /// The built-in prior does not fit the features.
    #[error(transparent)]
    Prior(#[from] PriorError),
    /// A provider cannot be set up.
    #[error(transparent)]
    Provider(#[from] ProviderBuildError),
    /// Arms, providers and routes do not fit together.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// A sheet of scores cannot be used.
    #[error("the sheet {} cannot be used: {message}", path.display())]
    Sheet {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The configured experiment cannot begin.
    #[error("the experiment {name} cannot begin: {message}")]
    Experiment {
        /// Which.
        name: ExperimentName,
        /// Why.
        message: String,
    },
    /// Anybody could spend the operator's money.
    #[error(
        "{listen} can be reached from other machines and there is no client key: make one with `pointsman keys create`, \
         or listen on 127.0.0.1"
    )]
    OpenToAll {
        /// The configured address.
        listen: SocketAddr,
    },
    /// The address cannot be had.
    #[error("cannot listen on {listen}: {source}")]
    Listen {
        /// The configured address.
        listen: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The encoder's start was cut off.
    #[error("the start was interrupted")]
    Interrupted,
}

/// A running service.
pub struct Running {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Where `/admin` listens, when that is elsewhere.
    pub admin_addr: Option<SocketAddr>,
    /// Its use cases, for those in the same process.
    pub live: Arc<Live>,
    stop: watch::Sender<bool>,
    servers: Vec<JoinHandle<()>>,
    behind: Vec<JoinHandle<()>>,
}

/// How a configuration is read again for a service that runs with the given one; it may block.
pub type ReadAgain = Box<dyn Fn(&Settings) -> Result<Settings, ConfigFaults> + Send + Sync>;

/// Starts everything: log, encoder, learner (which folds what it has not seen), then the listener.
///
/// # Errors
/// When a part cannot be started; what was started is stopped.
pub async fn start(settings: Settings) -> Result<Running, AppError> {
    start_from(settings, None).await
}

/// As [`start`], of a configuration that can be read again while the service runs.
///
/// # Errors
/// As [`start`].
pub async fn start_from(settings: Settings, read_again: Option<ReadAgain>) -> Result<Running, AppError> {
    let (server, tls, first) = (settings.server, settings.tls.clone(), settings.clone());
    let service =
        tokio::task::spawn_blocking(move || build(settings)).await.map_err(|_| AppError::Interrupted)??;
    service.metrics.config(&first.hash);
    let main = bind(server.listen, &service).await?;
    let admin = match server.admin_listen {
        Some(listen) => Some(bind(listen, &service).await?),
        None => None,
    };
    let (addr, admin_addr) = (main.addr, admin.as_ref().map(|door| door.addr));
    let (live, orders) = Live::new(service);
    let live = Arc::new(live);
    let reloader = reload::Reloader { settings: first, read_again, live: Arc::clone(&live) };
    let mut behind = vec![tokio::spawn(reloader.run(orders))];
    behind.extend(service::start_judge(&live));
    let (stop, stopping) = watch::channel(false);
    let places = Arc::new(Places::new(server.max_connections, server.max_in_flight_per_key));
    let guesses = Arc::default();
    let open = |door: Door, admin| {
        let api = Api {
            live: Arc::clone(&live),
            max_body_bytes: server.max_body_bytes,
            body_timeout: server.body_timeout,
            keep_alive: server.keep_alive,
            guesses: Arc::clone(&guesses),
            places: Arc::clone(&places),
            open_without_keys: door.open_without_keys,
            admin,
        };
        let options = serve_options(&server, tls.clone());
        tokio::spawn(crate::http::serve(door.listener, api, options, stopping.clone()))
    };
    let admin_of_main = if admin.is_some() { AdminTo::Nobody } else { AdminTo::Loopback };
    let mut servers = vec![open(main, admin_of_main)];
    servers.extend(admin.map(|door| open(door, AdminTo::Everybody)));
    Ok(Running { addr, admin_addr, live, stop, servers, behind })
}

/// A bound address.
struct Door {
    listener: TcpListener,
    addr: SocketAddr,
    open_without_keys: OpenWithoutKeys,
}

async fn bind(listen: SocketAddr, service: &Service) -> Result<Door, AppError> {
    let open_without_keys =
        if listen.ip().is_loopback() { OpenWithoutKeys::Yes } else { OpenWithoutKeys::No };
    if open_without_keys == OpenWithoutKeys::No && service.store.key_snapshot().is_empty() {
        return Err(AppError::OpenToAll { listen });
    }
    let listener = TcpListener::bind(listen).await.map_err(|source| AppError::Listen { listen, source })?;
    let addr = listener.local_addr().map_err(|source| AppError::Listen { listen, source })?;
    Ok(Door { listener, addr, open_without_keys })
}

impl Running {
    /// The service under the configuration of the moment.
    pub fn service(&self) -> Arc<Service> {
        self.live.service()
    }

    /// Stops in order: accept no more, drain, close the learner with a last checkpoint, flush the log. Gives the last event in
    /// the checkpoint.
    pub async fn stop(self) -> Option<Seq> {
        let service = self.live.service();
        if let Some(implicit) = &service.implicit {
            implicit.stop();
        }
        self.stop.send_replace(true);
        for server in self.servers {
            if let Err(error) = server.await {
                tracing::error!(%error, "a server did not end well");
            }
        }
        self.behind.iter().for_each(JoinHandle::abort);
        let ended = tokio::task::spawn_blocking(move || {
            let checkpoint = service.learning.stop();
            service.store.clone().close();
            checkpoint
        });
        match ended.await {
            Ok(Ok(seq)) => Some(seq),
            Ok(Err(error)) => {
                tracing::warn!(%error, "no last checkpoint: the next start folds the log instead");
                None
            }
            Err(_) => None,
        }
    }
}

fn serve_options(server: &ServerSettings, tls: Option<Tls>) -> ServeOptions {
    ServeOptions {
        tls,
        max_open_connections: server.max_open_connections,
        header_timeout: server.header_timeout,
        write_timeout: server.write_timeout,
        grace: server.shutdown_grace,
    }
}

/// Everything but the listener. Blocks: weights are read, the log is folded.
fn build(settings: Settings) -> Result<Service, AppError> {
    let fleet = fleet::of(&settings, None)?;
    let metrics = fleet::names(&settings, |routes, arms| Metrics::new(routes, arms));
    let featurizer = Arc::new(Featurizer::built_in()?);
    let store = Store::open(StoreOptions::at(settings.store.address.clone()))?;
    fleet::keep_prices(&settings, &store)?;
    let metrics = Arc::new(metrics);
    let reader = reader(settings.embedder.clone(), Arc::clone(&featurizer), Arc::clone(&metrics))?;
    let options = LearningOptions {
        publish_events: settings.learning.publish_every_events,
        publish_after: settings.learning.publish_within,
        checkpoint_events: settings.learning.checkpoint_every_events,
        ..LearningOptions::default()
    };
    let spend = Arc::new(restore_spend(&settings.budgets, &store, &fleet)?);
    let feedback_window = settings.learning.feedback_window;
    if let Some(experiment) = &settings.experiment {
        experiments::tell(experiment, &store, &featurizer)?;
    }
    let learning = start_learner(&store, &featurizer, options, settings.learning.guard)?;
    Handle::current().block_on(roster::tell(&settings, &reader, &store, &learning))?;
    let watch = settings.learning.implicit;
    let implicit = watch.then(|| Arc::new(Implicit::new(store.clone(), Arc::clone(&metrics))));
    let judge = settings.judge.map(|judge| Judge::new(judge, &store)).transpose()?.map(Arc::new);
    Ok(Service {
        fleet,
        store,
        reader: Arc::new(reader),
        learning: Arc::new(learning),
        health: Arc::new(Health::default()),
        sessions: Arc::new(Sessions::default()),
        metrics,
        spend,
        rates: Arc::default(),
        cache: settings.cache.as_ref().map(|cache| Arc::new(ResponseCache::new(cache))),
        feedback_within_ms: feedback_window.map(|w| i64::try_from(w.as_millis()).unwrap_or(i64::MAX)),
        implicit,
        judge,
        keep_prompts: kept_of_prompts(settings.store.store_prompts),
    })
}

fn kept_of_prompts(wanted: StorePrompts) -> KeepPrompts {
    match wanted {
        StorePrompts::None => KeepPrompts::None,
        StorePrompts::Preview => KeepPrompts::Preview,
        StorePrompts::Full => KeepPrompts::Full,
    }
}

/// Loads what reads prompts: MiniLM, the student or both.
fn reader(
    settings: EmbedderSettings,
    featurizer: Arc<Featurizer>,
    metrics: Arc<Metrics>,
) -> Result<Reader, AppError> {
    let (kind, deadline, max_tokens) = (settings.kind, settings.deadline, settings.max_tokens);
    let encoder = || {
        Encoder::start(EncoderOptions {
            weights: match settings.weights {
                EmbedderWeights::BuiltIn => WeightSource::BuiltIn,
                EmbedderWeights::Folder(path) => WeightSource::Folder(path),
            },
            max_tokens,
            threads: settings.threads,
            queue: settings.queue,
            cache_entries: settings.cache_entries,
            ..EncoderOptions::default()
        })
    };
    let student = |windower: Windower| -> Result<Student, AppError> {
        let student = Student::built_in(windower)?;
        featurizer.check_student(student.schema())?;
        Ok(student)
    };
    let reading = match kind {
        EmbedderKind::MiniLm => Reading::MiniLm(encoder()?),
        EmbedderKind::Student => Reading::Student(student(Windower::built_in(max_tokens)?)?),
        EmbedderKind::Adaptive => {
            let encoder = encoder()?;
            let student = student(encoder.windower().clone())?;
            Reading::Adaptive(encoder, student)
        }
    };
    Ok(Reader { reading, featurizer, deadline, metrics })
}

/// What was spent so far, from the log.
fn restore_spend(plan: &BudgetPlan, store: &Store, fleet: &Fleet) -> Result<Spend, StoreError> {
    let keys = store.key_snapshot();
    let periods = |limits: &BudgetLimits| Period::ALL.into_iter().filter(|p| limits.of(*p).is_some()).max();
    let source = ReplaySource {
        price: &|arm| fleet.arm(arm).map(|arm| arm.price),
        limits: &|key| keys.budget_of(key),
        longest_of_keys: keys.budgets().filter_map(periods).max(),
    };
    Spend::restore(plan, store, &source)
}

fn start_learner(
    store: &Store,
    featurizer: &Featurizer,
    options: LearningOptions,
    guard: GuardSettings,
) -> Result<LearningHandle, AppError> {
    let (schema, dim) = (featurizer.schema().clone(), featurizer.dim());
    let wanted_settings = policy::Settings { guard, ..policy::Settings::DEFAULT };
    let prior = Arc::new(shipped_prior(&schema)?);
    let empty = LearnedState::with_prior(schema.clone(), Arc::clone(&prior), dim, wanted_settings)?;
    let make = || Box::new(empty.clone()) as Box<dyn Learner>;
    let wanted = schema;
    let restore = move |bytes: &[u8]| {
        let state = LearnedState::from_bytes(bytes).map_err(|e| e.to_string())?;
        if *state.schema() != wanted {
            return Err(format!("it is of schema {}, this version has {wanted}", state.schema()));
        }
        if state.origin() != prior.name {
            return Err(format!("it began with {}, this version has {}", state.origin(), prior.name));
        }
        if state.settings().guard != guard {
            return Err("it was made with another key_share or key_trust".to_owned());
        }
        Ok(Box::new(state) as Box<dyn Learner>)
    };
    Ok(Actor::start(store, &LearnerSource { make: &make, restore: &restore }, options)?)
}
