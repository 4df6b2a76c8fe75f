//! Concurrency models on the command line.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use demo_servers::Model;

/// Takes the name of a model; help and errors list those that there are.
pub fn model() -> impl TypedValueParser<Value = Model> {
    PossibleValuesParser::new(Model::ALL.map(Model::id)).try_map(|name| name.parse::<Model>())
}
