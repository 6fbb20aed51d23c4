//! Tests of the learner actor.
