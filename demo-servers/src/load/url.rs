//! The few URLs that the generator understands.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An `http` URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Url {
    authority: String,
    target: String,
}

/// The text is not such a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a URL that can be asked for: write http://HOST:PORT/PATH")]
pub struct BadUrl(String);

impl Url {
    /// Host and port, as the `Host` header has them.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Path and query, as the request line has them.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The first address of the host.
    pub fn resolve(&self) -> std::io::Result<SocketAddr> {
        let has_port = self.authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let with_port = if has_port { self.authority.clone() } else { format!("{}:80", self.authority) };
        with_port.to_socket_addrs()?.next().ok_or_else(|| std::io::ErrorKind::AddrNotAvailable.into())
    }

    /// The bytes of a request for it.
    pub fn request(&self, close: bool) -> Vec<u8> {
        let connection = if close { "Connection: close\r\n" } else { "" };
        format!("GET {} HTTP/1.1\r\nHost: {}\r\n{connection}\r\n", self.target, self.authority).into_bytes()
    }
}

impl FromStr for Url {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadUrl(text.to_owned());
        let rest = text.strip_prefix("http://").ok_or_else(bad)?;
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        // A space or a line end would change the meaning of the request that this becomes part of.
        if authority.is_empty() || text.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err(bad());
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Self { authority: authority.to_owned(), target: format!("{slash}{target}") })
    }
}

impl TryFrom<String> for Url {
    type Error = BadUrl;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Url> for String {
    fn from(url: Url) -> Self {
        url.to_string()
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn becomes_a_request() {
        let url: Url = "http://127.0.0.1:8000/cpu?us=5".parse().unwrap();
        assert_eq!(url.request(false), b"GET /cpu?us=5 HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n");
        assert_eq!(url.resolve().unwrap().to_string(), "127.0.0.1:8000");
        assert_eq!("http://127.0.0.1".parse::<Url>().unwrap().resolve().unwrap().port(), 80);
        assert_eq!("http://h?q".parse::<Url>().unwrap().to_string(), "http://h/?q");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["https://h/", "h/", "http:///", "http://h/a b", "http://h/\r\nX: y"] {
            assert!(text.parse::<Url>().is_err(), "{text:?}");
        }
    }
}
