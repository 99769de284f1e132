//! How a model is evaluated: options that every command which scores has. They change the speed,
//! never a score.

use clap::Args;
use scout40_models::{Isa, PlanChoice};

use crate::config::Engine;

#[derive(Args, Clone, Copy, Debug)]
pub struct EngineArgs {
    /// Instructions to use: `auto` (the best there are), `portable`, `avx2`, `avx512` or `neon`
    #[arg(long, default_value = "auto", value_parser = isa, value_name = "ISA")]
    isa: Isa,
    /// How a forest is evaluated: `auto` (the cheapest plan), `compiled`, `sliced` or `walk`
    #[arg(long, default_value = "auto", value_parser = plan, value_name = "PLAN")]
    plan: PlanChoice,
}

fn isa(name: &str) -> Result<Isa, String> {
    Isa::from_name(name).map_err(|error| error.to_string())
}

fn plan(name: &str) -> Result<PlanChoice, String> {
    PlanChoice::from_name(name).map_err(|error| error.to_string())
}

impl From<EngineArgs> for Engine {
    fn from(args: EngineArgs) -> Engine {
        Engine { isa: args.isa, plan: args.plan }
    }
}
