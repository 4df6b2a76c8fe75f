//! Which request of whywait's is which record of the server's.

use demo_servers::truth::Record;
use whywait::clock::Request;

/// One request, as the server and as whywait saw it.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// The server's record.
    pub truth: &'a Record,
    /// What whywait found.
    pub found: &'a Request,
}

/// All requests of a run.
#[derive(Debug, Default)]
pub struct Joined<'a> {
    /// Seen by both.
    pub pairs: Vec<Pair<'a>>,
    /// Answered by the server, not found by whywait.
    pub missed: Vec<&'a Record>,
    /// Found by whywait, not answered by the server.
    pub invented: Vec<&'a Request>,
}

/// Joins by the client's port, and by time among the requests of one port: the two sides must overlap.
pub fn join<'a>(records: &'a [Record], found: &'a [Request]) -> Joined<'a> {
    let mut records: Vec<&Record> = records.iter().collect();
    let mut found: Vec<&Request> = found.iter().collect();
    records.sort_by_key(|record| (record.port, record.start_ns));
    found.sort_by_key(|request| (request.peer_port, request.first_read));
    let mut joined = Joined::default();
    let (mut records, mut found) = (records.into_iter().peekable(), found.into_iter().peekable());
    loop {
        let (truth, request) = match (records.peek(), found.peek()) {
            (Some(truth), Some(request)) => (*truth, *request),
            (None, None) => return joined,
            _ => {
                joined.missed.extend(records.by_ref());
                joined.invented.extend(found.by_ref());
                continue;
            }
        };
        if (truth.port, truth.end_ns.0) < (request.peer_port, request.first_read.0) {
            joined.missed.extend(records.next());
        } else if (request.peer_port, request.end.0) < (truth.port, truth.start_ns.0) {
            joined.invented.extend(found.next());
        } else {
            joined.pairs.push(Pair { truth, found: request });
            records.next();
            found.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::truth::accuracy::tests::{found, record};

    /// Kept connections carry many requests, and a port may be used again.
    #[test]
    fn requests_of_one_port_are_joined_in_the_order_of_time() {
        let records = [record(2, 100, 200), record(1, 10, 20), record(1, 30, 40)];
        let requests = [found(1, 29, 39), found(1, 8, 19), found(2, 90, 199)];
        let joined = join(&records, &requests);
        let ends: Vec<_> = joined.pairs.iter().map(|pair| (pair.truth.end_ns.0, pair.found.end.0)).collect();
        assert_eq!(ends, [(20, 19), (40, 39), (200, 199)]);
        assert!(joined.missed.is_empty() && joined.invented.is_empty());
    }

    /// A request that one side alone has does not shift all later ones of its connection.
    #[test]
    fn what_one_side_alone_has_is_named() {
        let records = [record(1, 10, 20), record(1, 30, 40), record(3, 30, 40)];
        let requests = [found(1, 29, 39), found(1, 50, 60), found(2, 1, 2)];
        let joined = join(&records, &requests);
        assert_eq!(joined.pairs.len(), 1);
        assert_eq!(joined.pairs[0].truth.start_ns.0, 30);
        let missed: Vec<_> = joined.missed.iter().map(|record| (record.port, record.end_ns.0)).collect();
        let invented: Vec<_> =
            joined.invented.iter().map(|request| (request.peer_port, request.end.0)).collect();
        assert_eq!((missed, invented), (vec![(1, 20), (3, 40)], vec![(1, 60), (2, 2)]));
    }
}
