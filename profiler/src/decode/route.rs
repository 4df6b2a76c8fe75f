//! Method and path of HTTP requests, each kept once.

use std::{borrow::Borrow, fmt, ops::Deref, sync::Arc};

use rustc_hash::FxHashMap;

/// Routes that are kept; a server with more (ids in its paths) pays for each request's name.
const MOST: usize = 4096;
/// Methods of RFC 9110 and RFC 5789.
const METHODS: [&[u8]; 9] =
    [b"GET", b"POST", b"PUT", b"HEAD", b"DELETE", b"PATCH", b"OPTIONS", b"CONNECT", b"TRACE"];
/// Length of the longest of them.
const LONGEST_METHOD: usize = 7;

/// Method and path of an HTTP/1.x request, without the query: `GET /json`. Cheap to copy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route(Arc<str>);

impl Deref for Route {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Route {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Route {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

/// The routes that have been seen.
#[derive(Debug, Default)]
pub struct Routes {
    /// By the bytes that name them.
    known: FxHashMap<Box<[u8]>, Route>,
}

impl Routes {
    /// Route of a request whose first bytes these are; `None` where they are not the beginning of an HTTP/1.x request.
    pub fn of(&mut self, head: &[u8]) -> Option<Route> {
        let space = head.iter().take(LONGEST_METHOD + 1).position(|byte| *byte == b' ')?;
        let path = &head[space + 1..];
        let ends = |byte: &u8| matches!(byte, b' ' | b'?' | b'#' | b'\r' | b'\n');
        let length = path.iter().position(ends).unwrap_or(path.len());
        let name = &head[..=space + length];
        if let Some(route) = self.known.get(name) {
            return Some(route.clone());
        }
        if length == 0 || !METHODS.contains(&&head[..space]) {
            return None;
        }
        let text = String::from_utf8_lossy(name);
        if text.chars().any(char::is_control) {
            return None;
        }
        let route = Route::from(&*text);
        if self.known.len() < MOST {
            self.known.insert(name.into(), route.clone());
        }
        Some(route)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn route(head: &[u8]) -> Option<Route> {
        Routes::default().of(head)
    }

    #[test]
    fn a_route_is_the_method_and_the_path_without_the_query() {
        assert_eq!(route(b"GET /cpu?us=5 HTTP/1.1\r\n").as_deref(), Some("GET /cpu"));
        assert_eq!(route(b"POST /a/b HTTP/1.0\r\n").as_deref(), Some("POST /a/b"));
        assert_eq!(
            route(b"GET /a-path-longer-than-what-was-ke").as_deref(),
            Some("GET /a-path-longer-than-what-was-ke")
        );
    }

    #[test]
    fn what_is_not_http_has_no_route() {
        for head in [&b"*1\r\n$4\r\nPING\r\n"[..], b"", b"GET", b"GET ", b"get / HTTP/1.1", b"\x16\x03\x01 "]
        {
            assert_eq!(route(head), None, "{head:?}");
        }
    }

    #[test]
    fn the_same_route_is_kept_once_and_more_than_are_kept_are_still_told() {
        let mut routes = Routes::default();
        let (first, again) = (routes.of(b"GET /a?x ").unwrap(), routes.of(b"GET /a ").unwrap());
        assert!(Arc::ptr_eq(&first.0, &again.0));
        for id in 0..MOST + 10 {
            let name = format!("GET /user/{id}");
            assert_eq!(&*routes.of(format!("{name} HTTP/1.1").as_bytes()).unwrap(), name);
        }
        assert_eq!(routes.known.len(), MOST);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_put_control_characters_into_a_name(path in proptest::collection::vec(any::<u8>(), 0..40)) {
            let head = [b"GET ".as_slice(), path.as_slice()].concat();
            if let Some(route) = route(&head) {
                prop_assert!(route.starts_with("GET ") && !route.chars().any(char::is_control));
            }
        }
    }
}
