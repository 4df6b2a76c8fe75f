//! Sends metrics and spans to a receiver of OTLP by HTTP, from a thread of its own: a receiver that is slow, or gone, costs what it does not
//! take, and nothing else.

use std::{
    fmt,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use prost::Message;

use super::{OutletError, metrics::Metrics, otlp, sampler::Chosen};
use crate::{
    export::otlp::{BATCH, Endpoint, SendError, Spans, TRACES, message, resource},
    platform::yielding::never_preempt,
    report::counted,
};

/// Where OTLP by HTTP takes metrics, see the OTLP specification.
const METRICS: &str = "/v1/metrics";
/// How long a receiver may take for one message.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Pauses before a message is sent once more.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(1)];
/// Intervals that wait to be sent.
const WAITING: usize = 2;
/// How long the end of a run waits for what is still to be sent.
const LAST: Duration = Duration::from_secs(6);

/// The address of a receiver, to which the paths of the signals are added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverUrl(String);

impl FromStr for ReceiverUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("https://") {
            return Err(format!(
                "{text} needs TLS, which whywait does not have: name a collector nearby that passes on what it gets"
            ));
        }
        let host = text.strip_prefix("http://").map(|rest| rest.split('/').next().unwrap_or_default());
        match host {
            Some(host) if !host.is_empty() && !text.contains(char::is_whitespace) => {
                Ok(Self(text.trim_end_matches('/').to_owned()))
            }
            _ => Err(format!(
                "`{text}` is no receiver of OTLP by HTTP: write http://HOST:PORT, such as http://localhost:4318"
            )),
        }
    }
}

impl fmt::Display for ReceiverUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What became of what was to be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Requests whose spans were taken.
    pub traces: u64,
    /// Requests whose spans were not.
    pub dropped_traces: u64,
    /// Messages that were not taken, after all tries.
    pub failed: u64,
}

#[derive(Debug, Default)]
struct Counts {
    traces: AtomicU64,
    dropped_traces: AtomicU64,
    failed: AtomicU64,
}

impl Counts {
    fn read(&self) -> Pushed {
        Pushed {
            traces: self.traces.load(Ordering::Relaxed),
            dropped_traces: self.dropped_traces.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }
}

/// An interval.
struct Parcel {
    metrics: Arc<Metrics>,
    chosen: Vec<Chosen>,
}

/// The thread that sends.
pub struct Push {
    url: ReceiverUrl,
    parcels: Sender<Parcel>,
    /// Dropped when there is no time left for another try.
    patient: Sender<()>,
    sent: Receiver<()>,
    counts: Arc<Counts>,
}

/// Is told, in a sentence, what a user should know.
pub type Tell = Arc<dyn Fn(String) + Send + Sync>;

impl Push {
    /// Starts it.
    ///
    /// # Errors
    /// When no thread can be created.
    pub fn start(url: ReceiverUrl, spans: Spans, tell: Tell) -> Result<Self, OutletError> {
        let (parcels, taken) = bounded(WAITING);
        let (patient, impatient) = bounded(0);
        let (done, sent) = bounded(1);
        let counts = Arc::new(Counts::default());
        let sender = Courier {
            metrics: Endpoint::new(format!("{url}{METRICS}"), TIMEOUT),
            traces: Endpoint::new(format!("{url}{TRACES}"), TIMEOUT),
            spans,
            impatient,
            counts: Arc::clone(&counts),
            told: AtomicBool::new(false),
            tell,
        };
        let run = move || {
            never_preempt();
            taken.iter().for_each(|parcel| sender.deliver(&parcel));
            // Whoever waits for this may have gone.
            let _told = done.send(());
        };
        thread::Builder::new().name("whywait-otlp".to_owned()).spawn(run).map_err(OutletError::Thread)?;
        Ok(Self { url, parcels, patient, sent, counts })
    }

    /// To whom.
    pub fn url(&self) -> &ReceiverUrl {
        &self.url
    }

    /// What became of it so far.
    pub fn pushed(&self) -> Pushed {
        self.counts.read()
    }

    /// Sends metrics and the spans of requests, soon. Where earlier ones still wait the metrics are left out, which the next ones make up
    /// for, and the spans are dropped.
    pub fn push(&self, metrics: Arc<Metrics>, chosen: Vec<Chosen>) {
        if let Err(TrySendError::Full(parcel) | TrySendError::Disconnected(parcel)) =
            self.parcels.try_send(Parcel { metrics, chosen })
        {
            self.drop_traces(parcel.chosen.len());
        }
    }

    fn drop_traces(&self, count: usize) {
        self.counts.dropped_traces.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Sends the last, and waits a few seconds until it is taken. What became of all of it.
    pub fn finish(self, metrics: Arc<Metrics>, chosen: Vec<Chosen>) -> Pushed {
        let deadline = Instant::now() + LAST;
        drop(self.patient);
        let count = chosen.len() as u64;
        let queued = self.parcels.send_deadline(Parcel { metrics, chosen }, deadline).is_ok();
        drop(self.parcels);
        if queued && self.sent.recv_deadline(deadline).is_ok() {
            return self.counts.read();
        }
        let pushed = self.counts.read();
        Pushed { failed: pushed.failed + 1, dropped_traces: pushed.dropped_traces + count, ..pushed }
    }
}

/// What the thread has.
struct Courier {
    metrics: Endpoint,
    traces: Endpoint,
    spans: Spans,
    impatient: Receiver<()>,
    counts: Arc<Counts>,
    /// That something was not taken has been told.
    told: AtomicBool,
    tell: Tell,
}

impl Courier {
    fn deliver(&self, parcel: &Parcel) {
        self.send(&self.metrics, &otlp::message(&parcel.metrics));
        let vitals = &parcel.metrics.vitals;
        let resource = resource(&vitals.command, vitals.pid.map(|pid| pid.0));
        let mut chosen = &parcel.chosen[..];
        while !chosen.is_empty() {
            let (mut spans, mut traces) = (Vec::new(), 0);
            while let Some((first, rest)) = chosen.split_first()
                && spans.len() < BATCH
            {
                spans.extend(self.spans.of(&first.request));
                (chosen, traces) = (rest, traces + 1);
            }
            let taken = self.send(&self.traces, &message(&resource, spans));
            let count = if taken { &self.counts.traces } else { &self.counts.dropped_traces };
            count.fetch_add(traces, Ordering::Relaxed);
        }
    }

    /// Whether it was taken.
    fn send(&self, endpoint: &Endpoint, message: &impl Message) -> bool {
        let mut pauses = PAUSES.into_iter();
        loop {
            let SendError { cause, again } = match endpoint.send(message) {
                Ok(()) => return true,
                Err(error) => error,
            };
            let pause = pauses.next().filter(|_| again);
            let patient = pause
                .is_some_and(|pause| self.impatient.recv_timeout(pause) == Err(RecvTimeoutError::Timeout));
            if patient {
                continue;
            }
            self.counts.failed.fetch_add(1, Ordering::Relaxed);
            if !self.told.swap(true, Ordering::Relaxed) {
                (self.tell)(format!(
                    "{} does not take what is sent: {cause}; the run goes on, and what is not taken is counted",
                    endpoint.url()
                ));
            }
            return false;
        }
    }
}

impl fmt::Display for Pushed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} not taken, and spans of {}; those of {} were",
            counted(self.failed, "message was", "messages were"),
            counted(self.dropped_traces, "request", "requests"),
            self.traces
        )
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::BufReader,
        net::{TcpListener, TcpStream},
        sync::Mutex,
    };

    use super::*;
    use crate::{
        clock::State,
        export::{
            WallClock,
            otlp::proto::{ExportMetricsServiceRequest, ExportTraceServiceRequest},
            testing::posted,
        },
        outlet::testing::{metrics, request},
        units::Ns,
    };

    fn spans() -> Spans {
        Spans::new(WallClock::new(Ns(0), 1_700_000_000_000_000_000), 1_700_000_000_000_000_000)
    }

    fn chosen(count: u64) -> Vec<Chosen> {
        let one = |number| Chosen {
            route: 0,
            request: request(number, "GET /", &[(State::Lock, 5_000), (State::OnCpu, 1_000)]),
        };
        (0..count).map(one).collect()
    }

    /// A path, and what was posted to it.
    type Posted = (String, Vec<u8>);

    /// Takes messages and answers with this status, until a connection says nothing.
    fn receiver(listener: TcpListener, status: &'static str) -> thread::JoinHandle<Vec<Posted>> {
        thread::spawn(move || {
            let taken = Arc::new(Mutex::new(Vec::new()));
            while let Ok((stream, _)) = listener.accept() {
                if stream.peek(&mut [0]).is_ok_and(|read| read == 0) {
                    break;
                }
                let taken = Arc::clone(&taken);
                thread::spawn(move || converse(stream, status, &taken));
            }
            std::mem::take(&mut *taken.lock().unwrap())
        })
    }

    /// Each signal keeps a connection of its own.
    fn converse(stream: TcpStream, status: &str, taken: &Mutex<Vec<Posted>>) {
        let mut input = BufReader::new(stream);
        while let Some((first, body)) = posted(&mut input, status) {
            taken.lock().unwrap().push((first.split(' ').nth(1).unwrap_or_default().to_owned(), body));
        }
    }

    #[test]
    fn a_receiver_gets_metrics_and_spans() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let taken = receiver(listener, "200 OK");
        let push = Push::start(
            format!("http://{address}/").parse().unwrap(),
            spans(),
            Arc::new(|told| panic!("{told}")),
        )
        .unwrap();
        push.push(Arc::new(metrics()), chosen(3));
        let pushed = push.finish(Arc::new(metrics()), chosen(600));
        assert_eq!(pushed, Pushed { traces: 603, ..Pushed::default() });
        drop(TcpStream::connect(address).unwrap());
        let (mut told, mut spans) = (0, 0);
        for (path, body) in taken.join().unwrap() {
            if path == METRICS {
                told += ExportMetricsServiceRequest::decode(&body[..]).unwrap().resource_metrics.len();
            } else {
                let message = ExportTraceServiceRequest::decode(&body[..]).unwrap();
                let count = message.resource_spans[0].scope_spans[0].spans.len();
                assert!(path == TRACES && count < BATCH + 3, "{path} {count}");
                spans += count;
            }
        }
        assert_eq!((told, spans), (2, 3 * 603));
    }

    /// What is not taken is told once and counted, and the end does not wait for it for long.
    #[test]
    fn a_receiver_that_is_gone_is_told_once() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let told = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&told);
        let tell = Arc::new(move |what| keep.lock().unwrap().push(what));
        let push = Push::start(format!("http://127.0.0.1:{port}").parse().unwrap(), spans(), tell).unwrap();
        let began = Instant::now();
        for _ in 0..10 {
            push.push(Arc::new(metrics()), chosen(4));
        }
        let pushed = push.finish(Arc::new(metrics()), chosen(4));
        assert!(began.elapsed() < 2 * LAST, "{:?}", began.elapsed());
        assert_eq!((pushed.traces, pushed.dropped_traces), (0, 44));
        let told = told.lock().unwrap();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].starts_with(&format!("http://127.0.0.1:{port}/v1/metrics does not take what is sent: "))
        );
    }

    /// A refusal for good is no reason to try once more; one that passes is.
    #[test]
    fn what_may_pass_is_tried_again() {
        for (status, tries) in [("400 Bad Request", 1), ("503 Service Unavailable", 3)] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let taken = receiver(listener, status);
            let push =
                Push::start(format!("http://{address}").parse().unwrap(), spans(), Arc::new(|_| ())).unwrap();
            push.push(Arc::new(metrics()), Vec::new());
            while push.pushed().failed == 0 {
                thread::sleep(Duration::from_millis(5));
            }
            drop(push);
            drop(TcpStream::connect(address).unwrap());
            assert_eq!(taken.join().unwrap().len(), tries, "{status}");
        }
    }

    #[test]
    fn only_receivers_by_http_are_taken() {
        let parse = |text: &str| text.parse::<ReceiverUrl>().map(|url| url.to_string());
        assert_eq!(parse("http://localhost:4318/").as_deref(), Ok("http://localhost:4318"));
        assert_eq!(parse("http://collector/otlp").as_deref(), Ok("http://collector/otlp"));
        for wrong in ["localhost:4318", "https://x", "http://", "", "ftp://x"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
