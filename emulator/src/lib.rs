//! The trigger itself: replays a stream against the clock, scores, decides, measures.
//!
//! [`config`] checks what is asked for, [`pipeline`] runs it: [`reader`] on core 0 fills batches
//! ahead of the clock, [`worker`]s score and decide them when they are due, [`collector`] takes
//! them back in order and feeds the [`sink`]s. [`trigger`] is the decision itself. The commands
//! are in [`cli`].

pub mod affinity;
pub mod batch;
pub mod calibrate;
pub mod cli;
pub mod clock;
pub mod collector;
pub mod comparison;
pub mod config;
pub mod counters;
pub mod generate;
pub mod jitter;
pub mod latency;
pub mod models;
pub mod network;
pub mod new_physics;
pub mod observables;
pub mod pipeline;
pub mod reader;
pub mod ring;
pub mod scoring;
pub mod sink;
pub mod source;
pub mod study;
pub mod trigger;
pub mod worker;
