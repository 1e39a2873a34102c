//! One shared-object write through the house: three processors, processor 0 is the sequencer, the object is replicated everywhere, and
//! a process on processor 1 invokes an operation. Every function that is a landmark is in the listing in `ARCHITECTURE.md`, in order.
//!
//! `UPDATE_EXPECT=1` writes the listing anew.
//!
//! Implements: [Thesis §4.3.1] write operations; [Thesis §3.4.2] the PB method.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use flip_net::time::{Duration, Instant};
use tests::cluster::{Cluster, Node, Setup, compile};

const BEGIN: &str = "<!-- one_write begin -->\n```text\n";
const END: &str = "```\n<!-- one_write end -->";

/// The writer has begun to sleep long before this, and everybody is in and quiet.
const QUIET: Instant = Instant::from_micros(900_000);
/// Longer than the write takes, shorter than the writer's second sleep or the group's next look at who is behind.
const ENOUGH: Duration = Duration::from_millis(5);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

/// Messages that one processor's group has given to FLIP, and frames that all boxes have sent.
fn sent<'a>(nodes: impl Iterator<Item = &'a Node>) -> (u64, u64) {
    let (mut messages, mut frames) = (0, 0);
    for node in nodes {
        let stats = node.stats();
        messages += stats.group.sent_total();
        let networks = stats.flip.networks.iter();
        frames += networks.map(|network| network.sent.total()).sum::<u64>();
    }
    (messages, frames)
}

/// The landmarks of the write, and how many messages and frames it took.
fn walk() -> (Vec<String>, u64, u64) {
    let steps: Arc<Mutex<Option<Vec<String>>>> = Arc::default();
    let ears = Arc::clone(&steps);
    let mut setup = Setup::new(compile(&folder().join("one_write.orca")), 3, 1);
    setup.steps = Some(Arc::new(move |processor, step| {
        if let Some(steps) = &mut *ears.lock().expect("nobody panics here") {
            steps.push(format!("p{processor} {step}"));
        }
    }));
    let mut cluster = Cluster::new(&setup);
    cluster.world.run_until(QUIET);
    let applied: Vec<u64> = cluster.nodes().map(Node::applied).collect();
    assert!(
        applied.windows(2).all(|pair| pair[0] == pair[1]),
        "{applied:?}"
    );
    let before = sent(cluster.nodes());
    *steps.lock().expect("nobody panics here") = Some(Vec::new());
    let wrote = cluster
        .world
        .run_while(QUIET + Duration::from_secs(1), |world| {
            let last = world.machine(sim::MachineId::new(2));
            last.is_some_and(|node| node.applied() == applied[2])
        });
    assert!(wrote, "nothing was written");
    let end = cluster.world.now() + ENOUGH;
    cluster.world.run_until(end);
    let after = sent(cluster.nodes());
    let heard = steps.lock().expect("nobody panics here").take();
    let mut heard = heard.expect("it was listened");
    // What comes before is the writer waking up.
    let first = heard.iter().position(|step| step.ends_with("::on_invoke"));
    heard.drain(..first.expect("the writer invokes"));
    let report = cluster.run("cargo test -p tests --test one_write");
    let report = report.unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(
        (report.outcome.status, report.output().as_str()),
        (0, "1\n")
    );
    (heard, after.0 - before.0, after.1 - before.1)
}

#[test]
fn one_write_takes_the_way_that_the_book_shows() {
    let (steps, messages, frames) = walk();
    assert_eq!(
        (messages, frames),
        (2, 2),
        "messages and frames\n{steps:#?}"
    );
    let listing: String = steps.iter().map(|step| format!("{step}\n")).collect();
    let path = folder().join("../ARCHITECTURE.md");
    let book = fs::read_to_string(&path).expect("the book is there");
    let (before, rest) = book.split_once(BEGIN).expect("the book has a place for it");
    let (written, after) = rest.split_once(END).expect("the place has an end");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{listing}{END}{after}"))
            .expect("the book can be written");
        return;
    }
    assert_eq!(
        written, listing,
        "the way has changed; UPDATE_EXPECT=1 writes it anew"
    );
}

#[test]
fn the_way_is_the_same_each_time() {
    assert_eq!(walk(), walk());
}
