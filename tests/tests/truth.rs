//! For every model and every route: whywait finds exactly the requests that were answered, as long as they really took, with the
//! planted time where it was planted, on the thread that answered.
//!
//! This is the short form; `cargo xtask truth` runs the whole and writes `docs/accuracy.md`. What a model's kernel events
//! cannot tell is in [`resolves`], and there too no time may be in the state of another wait.

use demo_servers::Model;
use whywait_tests::truth::{Cell, LEAST_PLANTED, ROUTES, measure};
use whywait_tests::{kernel_test, skip, slow, socket_tracepoints};

/// Seconds for each route: 30 to 150 requests.
const SECONDS: u32 = 1;
/// Planted time, in percent, that must be found in its state, and that may be in the state of another wait.
const PLACED: f64 = 95.0;
const MISPLACED: f64 = 5.0;

/// Requests, in percent, whose owner is right, and whose latency is. A busy machine interrupts a server between its time stamp and the
/// system call next to it, so a part may be off; a wrong rule would show in nearly all.
const OWNER: f64 = 99.0;
const LATENCY: f64 = 75.0;
/// Times are measured again where something else took the CPU; a rule that is wrong is wrong each time.
const TRIES: usize = 5;

/// Whether the kernel's events tell what a request of this model waits for; `docs/accuracy.md` says why not.
fn resolves(model: Model, route: &str) -> bool {
    match model {
        // Its timers are operations of the ring, and it answers in batches.
        Model::IoUring => false,
        // A pool thread that finds more work in the queue does it without having been woken for it.
        Model::EventLoopPool | Model::Async => {
            !matches!(route, "/cpu" | "/lock" | "/disk" | "/alloc" | "/cached" | "/mix")
        }
        _ => true,
    }
}

/// What a busy machine cannot change.
fn check_counts(model: Model, cell: &Cell) -> Result<(), String> {
    let accuracy = &cell.accuracy;
    if !accuracy.is_exact() {
        return told(model, cell, "requests found are not the requests answered");
    }
    if accuracy.owner_percent() < OWNER {
        return told(model, cell, "the owner is another thread");
    }
    // What io_uring receives, it receives into memory that nobody can look into from outside.
    if accuracy.named < accuracy.joined && model != Model::IoUring {
        return told(model, cell, "requests have another route");
    }
    Ok(())
}

fn check_times(model: Model, cell: &Cell) -> Result<(), String> {
    let accuracy = &cell.accuracy;
    // On an emulated machine a time stamp takes as long as a request.
    if slow() {
        return Ok(());
    }
    if accuracy.latency_percent() < LATENCY && model != Model::IoUring {
        return told(model, cell, "latencies are off");
    }
    if accuracy.planted < LEAST_PLANTED {
        return Ok(());
    }
    if resolves(model, cell.route) && accuracy.placed_percent() < PLACED {
        return told(model, cell, "planted time is missing from its state");
    }
    if accuracy.misplaced_percent() > MISPLACED {
        return told(model, cell, "planted time is in the state of another wait");
    }
    Ok(())
}

fn told(model: Model, cell: &Cell, what: &str) -> Result<(), String> {
    Err(format!("{model} {}: {what}: {}", cell.route, cell.accuracy))
}

fn holds(model: Model) {
    let Some(_serial) = kernel_test() else { return };
    if let Err(error) = model.check() {
        return skip(&format!("the model {model}"), &format!("{error:#}"));
    }
    if model == Model::IoUring && !socket_tracepoints() {
        return skip(
            "the model io-uring",
            "this kernel has no socket tracepoints, by which alone its operations are seen",
        );
    }
    let mut routes = ROUTES.to_vec();
    let mut wrong = Vec::new();
    for _ in 0..TRIES {
        let cells = measure(model, &routes, SECONDS);
        for cell in &cells {
            check_counts(model, cell).unwrap_or_else(|what| panic!("{what}"));
        }
        wrong = cells
            .iter()
            .filter_map(|cell| check_times(model, cell).err().map(|what| (cell.route, what)))
            .collect();
        routes.retain(|route| wrong.iter().any(|(path, _)| *path == route.path));
        if routes.is_empty() {
            return;
        }
    }
    let wrong: Vec<String> = wrong.into_iter().map(|(_, what)| what).collect();
    panic!("times are wrong each time: {}", wrong.join("; "));
}

macro_rules! models {
    ($($test:ident: $model:ident,)*) => {
        $(#[test]
        fn $test() {
            holds(Model::$model);
        })*

        #[test]
        fn no_model_is_left_out() {
            assert_eq!([$(Model::$model),*], Model::ALL);
        }
    };
}

models! {
    iterative: Iterative,
    thread_per_connection: ThreadPerConnection,
    thread_per_request: ThreadPerRequest,
    thread_pool: ThreadPool,
    event_loop: EventLoop,
    event_loop_pool: EventLoopPool,
    async_multi: Async,
    async_single: AsyncSingle,
    green_threads: GreenThreads,
    prefork: Prefork,
    prefork_threads: PreforkThreads,
    fork_per_connection: ForkPerConnection,
    gil: Gil,
    reuseport: Reuseport,
    io_uring: IoUring,
}
