//! Somebody who takes OTLP by HTTP.

use std::time::Duration;

use prost::Message;
use thiserror::Error;
use ureq::{Agent, http::StatusCode};

/// What was not taken.
#[derive(Debug, Error)]
#[error("{cause}")]
pub struct SendError {
    /// Why.
    pub cause: String,
    /// It may be taken when it is sent once more (OTLP specification, "Retryable Response Codes").
    pub again: bool,
}

/// An address that takes messages by HTTP.
pub struct Endpoint {
    url: String,
    agent: Agent,
}

impl Endpoint {
    /// A whole address, whose answer is waited for so long.
    pub fn new(url: String, patience: Duration) -> Self {
        let config =
            Agent::config_builder().timeout_global(Some(patience)).http_status_as_error(false).build();
        Self { url, agent: config.into() }
    }

    /// The address of a receiver; one without a path gets that of the specification for this signal.
    pub fn of_signal(url: &str, path: &str, patience: Duration) -> Self {
        let without_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
        let has_path = without_scheme.split_once('/').is_some_and(|(_, path)| !path.is_empty());
        let url = if has_path { url.to_owned() } else { format!("{}{path}", url.trim_end_matches('/')) };
        Self::new(url, patience)
    }

    /// The address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sends a message.
    ///
    /// # Errors
    /// When it is not taken; why, and whether another try makes sense.
    pub fn send(&self, message: &impl Message) -> Result<(), SendError> {
        let request = self.agent.post(&self.url).header("Content-Type", "application/x-protobuf");
        let answer = request
            .send(&message.encode_to_vec()[..])
            .map_err(|error| SendError { cause: error.to_string(), again: true })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let passing = [
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::BAD_GATEWAY,
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::GATEWAY_TIMEOUT,
        ];
        Err(SendError { cause: format!("it answered {status}"), again: passing.contains(&status) })
    }
}
