//! The log's rows. State is a fold over them: whatever is not here did not happen.

use serde::{Deserialize, Serialize};

use super::{
    ArmId, ArmPrior, Completed, Decision, Experiment, ExperimentEnd, ExperimentName, Feedback, KeyId,
    PolicyVersion, RouteName, Seq, UnixMs,
};

/// Something an operator did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum AdminEvent {
    /// A client key was made.
    KeyCreated {
        /// Which.
        key: KeyId,
    },
    /// A policy bundle took over: the learner goes on from its state.
    PolicyPromoted {
        /// Which.
        policy: PolicyVersion,
    },
    /// A challenger gets a share of the traffic.
    ExperimentStarted {
        /// On which terms.
        experiment: Experiment,
    },
    /// It has held: it gets more.
    ExperimentRamped {
        /// Which.
        name: ExperimentName,
        /// Its share before,
        from: f64,
        /// and from here on.
        to: f64,
    },
    /// It is over.
    ExperimentEnded {
        /// Which.
        name: ExperimentName,
        /// How.
        end: ExperimentEnd,
        /// Why, in words for the operator.
        why: String,
    },
    /// What a client key may was changed.
    KeyChanged {
        /// Which.
        key: KeyId,
    },
    /// A client key was revoked.
    KeyRevoked {
        /// Which.
        key: KeyId,
    },
    /// An arm joined a running deployment, or came back.
    ArmAdded {
        /// Which.
        arm: ArmId,
        /// What it starts from; without effect on an arm that has been observed.
        prior: ArmPrior,
    },
    /// An arm is configured no more. What was learned of it is kept.
    ArmRemoved {
        /// Which.
        arm: ArmId,
    },
    /// An arm was found to be worse than its route's default beyond doubt.
    RetireSuggested {
        /// On which route.
        route: RouteName,
        /// Which.
        arm: ArmId,
        /// By how much utility at the least.
        behind: f64,
    },
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "body")]
pub enum EventBody {
    /// An arm was drawn.
    Decided(Box<Decision>),
    /// A call ended.
    Completed(Box<Completed>),
    /// A report was accepted.
    Feedback(Box<Feedback>),
    /// An operator changed something.
    Admin(AdminEvent),
}

/// One row of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its place.
    pub seq: Seq,
    /// When it was written.
    pub at: UnixMs,
    /// What happened.
    pub body: EventBody,
}
