//! Runs the scripts under `tests/data`: commands, four dashes, the trace they must give.
//!
//! ```text
//! members N [window N] [large N] [history-log2 N] [members-max N] [rules amoeba5] [timing amoeba5]
//!           [resilience N] [auto-reset N]
//! send mX "text"  |  send mX BYTES         leave mX     join      crash mX    declare mX at mY
//! hold mX  |  resume mX                    the application stops, goes on taking deliveries
//! lose KIND at mX [times N]                of the messages to come
//! reset mX min N  |  die mX  |  apart mX ...  |  together
//! double KIND at mX  |  delay KIND at mX N ms
//! run  |  run N ms                         until nothing is under way  |  timers too
//! state  |  hide KIND ...  |  show
//! ```
//!
//! `UPDATE_EXPECT=1` rewrites the traces. Every message takes 100 microseconds.

mod exchange;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use capability::Header;
use exchange::{Exchange, Fate, Fates, PORT, config, kind_of};
use flip_net::time::{Duration, Instant};
use group::checker::check_resilient;
use group::{Config, Kind, MemberIndex, Resetting, Rules, Timing};

/// What a script has ordered to happen to messages.
#[derive(Default)]
struct Orders {
    pending: Vec<Order>,
    /// These hear each other, and the others each other.
    apart: Vec<usize>,
}

struct Order {
    kind: Kind,
    at: usize,
    times: usize,
    fate: Fate,
}

const TRAVEL: Duration = Duration::from_micros(100);

impl Fates for Orders {
    fn fate(&mut self, _: Instant, from: usize, to: usize, message: &[u8]) -> Fate {
        if self.apart.contains(&from) != self.apart.contains(&to) {
            return Fate::lost();
        }
        let kind = kind_of(message);
        let fits = |order: &Order| order.times > 0 && order.at == to && Some(order.kind) == kind;
        match self.pending.iter_mut().find(|order| fits(order)) {
            Some(order) => {
                order.times -= 1;
                order.fate.clone()
            }
            None => Fate::after(TRAVEL),
        }
    }
}

struct Runner {
    exchange: Exchange,
    orders: Orders,
    config: Config,
    hidden: Vec<Kind>,
}

impl Runner {
    fn new() -> Runner {
        Runner {
            exchange: Exchange::new(0x5c21),
            orders: Orders::default(),
            config: Config {
                large: 1_000,
                ..config()
            },
            hidden: Vec::new(),
        }
    }

    /// Runs one command; gives what it says by itself.
    fn command(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["members", count, ref settings @ ..] => {
                self.configure(settings);
                self.form_group(number(count));
                return self.state();
            }
            ["send", node, ..] => self.send(node, line),
            ["leave", node] => self.act(node, |member, now| member.leave(now)),
            ["join"] => {
                self.exchange.join(self.config.clone(), &mut self.orders);
            }
            ["crash", node] => self.exchange.crash(index(node)),
            ["declare", lost, "at", node] => {
                let lost = MemberIndex::new(index(lost) as u16);
                self.act(node, move |member, now| member.declare_lost(now, lost));
            }
            ["reset", node, "min", min] => self.reset(node, number(min) as u16),
            ["die", node] => self.act(node, |member, now| member.die(now)),
            ["apart", ref nodes @ ..] => {
                self.orders.apart = nodes.iter().map(|node| index(node)).collect();
            }
            ["together"] => self.orders.apart.clear(),
            ["hold", node] => self.exchange.nodes[index(node)].holding = true,
            ["resume", node] => self.exchange.resume(index(node), &mut self.orders),
            ["lose", kind, "at", node] => self.order(kind, node, 1, Fate::lost()),
            ["lose", kind, "at", node, "times", times] => {
                self.order(kind, node, number(times), Fate::lost());
            }
            ["double", kind, "at", node] => {
                let arrivals = vec![TRAVEL, TRAVEL + TRAVEL];
                self.order(kind, node, 1, Fate { arrivals });
            }
            ["delay", kind, "at", node, millis, "ms"] => {
                let delay = Duration::from_millis(number(millis) as u64);
                self.order(kind, node, 1, Fate::after(delay));
            }
            ["run"] => self.exchange.settle(&mut self.orders),
            ["run", millis, "ms"] => {
                let until = self.exchange.now + Duration::from_millis(number(millis) as u64);
                self.exchange.run_until(until, &mut self.orders);
            }
            ["state"] => return self.state(),
            ["show"] => self.hidden.clear(),
            ["hide", ref kinds @ ..] => self.hidden.extend(kinds.iter().map(|name| kind(name))),
            _ => panic!("no such command: {line}"),
        }
        String::new()
    }

    fn configure(&mut self, settings: &[&str]) {
        let config = &mut self.config;
        for pair in settings.chunks(2) {
            match pair {
                ["window", value] => config.window = number(value) as u32,
                ["large", value] => config.large = number(value) as u32,
                ["history-log2", value] => config.history_log2 = number(value) as u8,
                ["members-max", value] => config.members_max = number(value) as u16,
                ["resilience", value] => config.resilience = number(value) as u8,
                ["auto-reset", value] => config.auto_reset = Some(number(value) as u16),
                ["rules", "amoeba5"] => config.rules = Rules::Amoeba5,
                ["timing", "amoeba5"] => config.timing = Timing::amoeba5(),
                _ => panic!("no such setting: {pair:?}"),
            }
        }
    }

    fn form_group(&mut self, count: usize) {
        for node in 0..count {
            if node == 0 {
                self.exchange.create(self.config.clone(), &mut self.orders);
            } else {
                self.exchange.join(self.config.clone(), &mut self.orders);
            }
            let until = self.exchange.now + Duration::from_millis(150);
            self.exchange.run_until(until, &mut self.orders);
        }
        assert!(self.exchange.nodes.iter().all(|node| node.entered));
        self.exchange.log = Some(Vec::new());
    }

    fn act(&mut self, node: &str, act: impl FnOnce(&mut group::Member, Instant)) {
        self.exchange.act(index(node), &mut self.orders, act);
    }

    fn reset(&mut self, node: &str, members_min: u16) {
        let header = Header::to(PORT);
        let begun = self
            .exchange
            .act(index(node), &mut self.orders, |member, now| {
                member.reset(now, header, members_min)
            });
        let line = match begun {
            Some(Ok(Resetting::Begun)) | None => return,
            Some(Ok(Resetting::NotNeeded { members })) => {
                format!("{node} has a group of {members} already")
            }
            Some(Err(error)) => format!("{node} cannot reset: {error}"),
        };
        self.exchange.say(|| line);
    }

    fn send(&mut self, node: &str, line: &str) {
        let data = match line.split_once('"') {
            Some((_, text)) => text.trim_end_matches('"').as_bytes().to_vec(),
            None => {
                let size = line.split_whitespace().last().expect("a size or a text");
                vec![0; number(size)]
            }
        };
        if let Err(error) = self.exchange.send(index(node), data, &mut self.orders) {
            let line = format!("{node} cannot send: {error}");
            self.exchange.say(|| line);
        }
    }

    fn order(&mut self, name: &str, node: &str, times: usize, fate: Fate) {
        self.orders.pending.push(Order {
            kind: kind(name),
            at: index(node),
            times,
            fate,
        });
    }

    fn state(&self) -> String {
        let mut text = String::new();
        for (index, node) in self.exchange.nodes.iter().enumerate() {
            let Some(member) = &node.member else {
                let _ = writeln!(text, "m{index} crashed");
                continue;
            };
            let role = if member.is_closed() {
                "closed"
            } else if member.is_recovering() {
                "recovers"
            } else if member.is_sequencer() {
                "sequencer"
            } else {
                "member"
            };
            let _ = write!(text, "m{index} {role:<9} next {}", member.next());
            if member.expect() != member.next() {
                let _ = write!(text, " expect {}", member.expect());
            }
            if member.outstanding() > 0 {
                let _ = write!(text, " outstanding {}", member.outstanding());
            }
            let _ = writeln!(text);
        }
        text
    }

    fn trace(&mut self) -> String {
        let hidden: Vec<String> = self
            .hidden
            .iter()
            .map(|kind| format!("  {kind} "))
            .collect();
        let lines = self.exchange.log.replace(Vec::new()).unwrap_or_default();
        let mut text = String::new();
        for line in lines {
            if !hidden.iter().any(|kind| format!("{line} ").contains(kind)) {
                let _ = writeln!(text, "{line}");
            }
        }
        text
    }
}

fn number(word: &str) -> usize {
    word.parse()
        .unwrap_or_else(|_| panic!("a number, not {word:?}"))
}

fn index(node: &str) -> usize {
    number(
        node.strip_prefix('m')
            .unwrap_or_else(|| panic!("a member, not {node:?}")),
    )
}

fn kind(name: &str) -> Kind {
    let found = Kind::ALL.iter().find(|kind| kind.name() == name);
    *found.unwrap_or_else(|| panic!("a kind of message, not {name:?}"))
}

/// Runs a script and gives it back with the traces as they came out.
fn run(script: &str) -> String {
    let mut runner = Runner::new();
    let mut out = String::new();
    let mut lines = script.lines().peekable();
    while let Some(line) = lines.next() {
        let _ = writeln!(out, "{line}");
        if line.starts_with('#') || line.is_empty() {
            continue;
        }
        if line != "----" {
            let said = runner.command(line);
            runner.exchange.say(String::new);
            if let Some(log) = &mut runner.exchange.log {
                log.pop();
                log.extend(said.lines().map(str::to_string));
            }
            continue;
        }
        out += &runner.trace();
        while lines.next_if(|line| !line.is_empty()).is_some() {}
    }
    let resilience = runner.config.resilience;
    if let Err(violation) = check_resilient(&runner.exchange.traces(), resilience) {
        panic!("{violation}\n{out}");
    }
    out
}

fn scripts(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).expect("the scripts lie beside this file");
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            scripts(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "txt") {
            found.push(path);
        }
    }
}

#[test]
fn every_script_gives_its_trace() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut paths = Vec::new();
    scripts(&root, &mut paths);
    paths.sort();
    assert!(paths.len() >= 20, "{} scripts", paths.len());
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut wrong = Vec::new();
    for path in paths {
        let script = std::fs::read_to_string(&path).expect("a script is text");
        let name = path
            .strip_prefix(&root)
            .unwrap_or(&path)
            .display()
            .to_string();
        assert!(script.starts_with("# "), "{name} says what it shows");
        println!("{name}");
        let found = run(&script);
        if found == script {
            continue;
        }
        if update {
            std::fs::write(&path, found).expect("a script can be rewritten");
        } else {
            println!("---- expected\n{script}\n---- found\n{found}");
            wrong.push(name);
        }
    }
    assert!(
        wrong.is_empty(),
        "not as expected: {wrong:?}; UPDATE_EXPECT=1 rewrites them"
    );
}
