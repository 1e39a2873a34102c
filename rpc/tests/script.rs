//! Runs the scripts under `tests/data`: commands, four dashes, the trace they must give.
//!
//! ```text
//! hosts N [rules amoeba5] [timing modern] [clients-max N] [duplicating no]
//! serve hX PORT [take BYTES]              one server waits for one request
//! auto hX PORT N [after N ms]             so many servers that answer with what they got, and wait again
//! trans hX PORT "text" | BYTES [within N ms] [take BYTES] [short]
//! reply hX "text" | BYTES                 by the server that has executed longest, as all of these:
//! forward hX to hY  |  cancel hX  |  abort hX (the oldest transaction)
//! close hX  |  crash hX  |  restart hX    the process ends, failing what it executes  |  the host  |  anew
//! move hX to hY  |  untrusted hX          the process moves  |  its host has no trusted network
//! lose KIND at hX [times N]               of the messages to come
//! double KIND at hX  |  delay KIND at hX N ms
//! replay KIND at hX [retrans]             the last one that came, again, as from its sender
//! enquire hX                              about a number after that of the last request, as from its sender
//! shift hX NUMBER                         the last request again with a number so far from it, not executed before
//! run  |  run N ms                        until nothing is under way  |  timers too
//! pending hX  |  hide KIND ...
//! ```
//!
//! A port called `null` is the null port. `UPDATE_EXPECT=1` rewrites the traces. Every message takes
//! 100 microseconds; the times are those of Amoeba 5 unless told otherwise.

mod exchange;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use capability::{Header, Order, Port};
use exchange::{Exchange, Fate, Fates, kind_of, one_way};
use flip_net::time::{Duration, Instant};
use rpc::{
    Config, Event, Flags, Kind, Packet, RPC_HEADER_SIZE, RpcHeader, Rules, ServerId, Tid, Timing,
    TransOptions, TransactionId,
};

const TRAVEL: Duration = Duration::from_micros(100);

/// What a script has ordered to happen to messages.
#[derive(Default)]
struct Orders {
    pending: Vec<Disturbance>,
}

struct Disturbance {
    kind: Kind,
    at: usize,
    times: usize,
    fate: Fate,
}

impl Fates for Orders {
    fn fate(&mut self, _: Instant, _: usize, to: usize, message: &[u8]) -> Fate {
        let kind = kind_of(message);
        let fits =
            |order: &Disturbance| order.times > 0 && order.at == to && Some(order.kind) == kind;
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
    hidden: Vec<String>,
    /// What servers execute, longest first, and what transactions are open.
    executing: Vec<(usize, ServerId, Vec<u8>)>,
    open: Vec<(usize, TransactionId)>,
    /// Ports whose servers answer by themselves, and after what time.
    auto: BTreeMap<(usize, Port), (Duration, u64)>,
    answers: BTreeMap<(Instant, u64), (usize, ServerId, Vec<u8>)>,
    count: u64,
    tids: Vec<String>,
    ports: Vec<String>,
}

impl Runner {
    fn new() -> Runner {
        Runner {
            exchange: Exchange::new(0x5c21),
            orders: Orders::default(),
            config: Config {
                timing: Timing::amoeba5(),
                window: 512,
                ..Config::new(one_way)
            },
            hidden: Vec::new(),
            executing: Vec::new(),
            open: Vec::new(),
            auto: BTreeMap::new(),
            answers: BTreeMap::new(),
            count: 0,
            tids: Vec::new(),
            ports: Vec::new(),
        }
    }

    fn command(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["hosts", count, ref settings @ ..] => {
                self.configure(settings);
                for _ in 0..number(count) {
                    self.exchange.add(self.config.clone());
                }
                self.exchange.log = Some(Vec::new());
            }
            ["serve", node, name] => self.serve(index(node), name, usize::MAX),
            ["serve", node, name, "take", max] => self.serve(index(node), name, number(max)),
            ["auto", node, name, count, ref rest @ ..] => {
                let after = match rest {
                    ["after", millis, "ms"] => Duration::from_millis(number(millis) as u64),
                    _ => Duration::ZERO,
                };
                let port = self.port(name);
                self.auto.insert((index(node), port), (after, 0));
                for _ in 0..number(count) {
                    self.serve(index(node), name, usize::MAX);
                }
            }
            ["trans", node, name, ..] => self.trans(index(node), name, line),
            ["reply", node, ..] => {
                let (server, _) = self.executing(node);
                self.reply(index(node), server, data(line));
            }
            ["forward", node, "to", other] => {
                let (server, _) = self.executing(node);
                let to = self.exchange.address(index(other));
                self.act(node, |endpoint, now| {
                    endpoint
                        .forward_request(now, server, to)
                        .expect("it executes")
                });
            }
            ["cancel", node] => {
                let (server, _) = self.executing(node);
                self.act(node, |endpoint, now| endpoint.cancel(now, server));
            }
            ["abort", node] => {
                let of_it = |(other, _): &(usize, TransactionId)| *other == index(node);
                let open = self.open.iter().find(|open| of_it(open));
                let transaction = open.expect("an open transaction").1;
                self.act(node, |endpoint, now| endpoint.abort(now, transaction));
            }
            ["close", node] => {
                self.act(node, |endpoint, now| endpoint.close(now));
                self.end(node, false);
            }
            ["crash", node] => self.end(node, true),
            ["restart", node] => self.exchange.start(index(node)),
            ["move", node, "to", other] => self.exchange.migrate(index(node), index(other)),
            ["untrusted", node] => self.exchange.nodes[index(node)].untrusted = true,
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
            ["replay", name, "at", node] => self.replay(kind(name), index(node), |_| {}),
            ["replay", name, "at", node, "retrans"] => {
                self.replay(kind(name), index(node), |repr| repr.flags = Flags::RETRANS);
            }
            ["enquire", node] => self.replay(Kind::Request, index(node), |repr| {
                *repr = RpcHeader {
                    kid: repr.kid,
                    ..RpcHeader::new(Kind::Enquire, repr.tid.next(), repr.from, 0)
                };
            }),
            ["shift", node, by] => {
                let by = by.parse::<i32>().expect("a number");
                self.replay(Kind::Request, index(node), |repr| {
                    repr.tid = Tid::new(repr.tid.value().wrapping_add_signed(by));
                });
            }
            ["run"] => self.run_until(None),
            ["run", millis, "ms"] => {
                let until = self.exchange.now + Duration::from_millis(number(millis) as u64);
                self.run_until(Some(until));
            }
            ["pending", node] => {
                let endpoint = self.exchange.nodes[index(node)].endpoint.as_ref();
                let pending = endpoint.expect("a process").pending();
                let lines: Vec<String> = pending.map(|pending| pending.to_string()).collect();
                lines
                    .into_iter()
                    .for_each(|line| self.exchange.say(|| line));
            }
            ["hide", ref kinds @ ..] => {
                self.hidden
                    .extend(kinds.iter().map(|name| format!("  {name} ")));
            }
            _ => panic!("no such command: {line}"),
        }
        self.take_all();
    }

    fn configure(&mut self, settings: &[&str]) {
        for pair in settings.chunks(2) {
            match pair {
                ["rules", "amoeba5"] => self.config.rules = Rules::Amoeba5,
                ["timing", "modern"] => self.config.timing = Timing::modern(),
                ["clients-max", value] => self.config.clients_max = number(value),
                ["duplicating", "no"] => self.config.duplicating = false,
                _ => panic!("no such setting: {pair:?}"),
            }
        }
    }

    /// The get-port with this name.
    fn port(&mut self, name: &str) -> Port {
        if name == "null" {
            return Port::NULL;
        }
        if !self.ports.iter().any(|known| known == name) {
            self.ports.push(name.to_string());
        }
        get_port(name)
    }

    fn serve(&mut self, node: usize, name: &str, take: usize) {
        let port = self.port(name);
        let result = self.exchange.act(node, &mut self.orders, |endpoint, now| {
            endpoint.get_request_up_to(now, port, take)
        });
        if let Some(Err(error)) = result {
            self.exchange
                .say(|| format!("h{node} cannot serve: {error} ({})", error.code()));
        }
    }

    fn trans(&mut self, node: usize, name: &str, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let after = |word: &str| {
            let at = words.iter().position(|other| *other == word)?;
            Some(number(words[at + 1]))
        };
        let mut options = match words.contains(&"short") {
            true => TransOptions::short(),
            false => TransOptions::default(),
        };
        let within = after("within").map(|millis| Duration::from_millis(millis as u64));
        options.locate_time = within;
        options.reply_len_max = after("take").unwrap_or(options.reply_len_max);
        let header = Header::to(self.port(name).put_port());
        let data = data(line);
        let begun = self.exchange.act(node, &mut self.orders, |endpoint, now| {
            endpoint.trans_with(now, header, &data, options)
        });
        match begun.expect("a process") {
            Ok(transaction) => self.open.push((node, transaction)),
            Err(error) => self
                .exchange
                .say(|| format!("h{node} cannot begin: {error} ({})", error.code())),
        }
    }

    fn executing(&mut self, node: &str) -> (ServerId, Vec<u8>) {
        let mut all = self.executing.iter();
        let at = all.position(|(other, ..)| *other == index(node));
        let (_, server, data) = self.executing.remove(at.expect("a server that executes"));
        (server, data)
    }

    fn reply(&mut self, node: usize, server: ServerId, data: Vec<u8>) {
        let result = self.exchange.act(node, &mut self.orders, |endpoint, now| {
            endpoint.put_reply(now, server, Header::to(Port::NULL), &data)
        });
        if let Some(Err(error)) = result {
            self.exchange
                .say(|| format!("h{node} cannot reply: {error} ({})", error.code()));
        }
    }

    fn act(&mut self, node: &str, act: impl FnOnce(&mut rpc::Endpoint, Instant)) {
        self.exchange.act(index(node), &mut self.orders, act);
    }

    fn end(&mut self, node: &str, host_too: bool) {
        let node = index(node);
        self.exchange.kill(node, host_too);
        self.executing.retain(|(other, ..)| *other != node);
        self.open.retain(|(other, _)| *other != node);
    }

    fn order(&mut self, name: &str, node: &str, times: usize, fate: Fate) {
        self.orders.pending.push(Disturbance {
            kind: kind(name),
            at: index(node),
            times,
            fate,
        });
    }

    fn replay(&mut self, kind: Kind, node: usize, change: impl FnOnce(&mut RpcHeader)) {
        let (from, message) = self.exchange.last[&(node, kind)].clone();
        let packet = Packet::new_checked(&message).expect("it came once");
        let mut repr = RpcHeader::parse(&packet);
        change(&mut repr);
        let mut again = message.to_vec();
        again[..RPC_HEADER_SIZE].copy_from_slice(&repr.emit(Order::Little));
        if repr.kind != kind {
            again.truncate(RPC_HEADER_SIZE);
        }
        let before = self.exchange.last.get(&(node, kind)).cloned();
        self.exchange
            .say(|| format!("? -> h{node}  {}", rpc::Pretty(&again)));
        self.exchange.inject(node, from, again.into());
        let now = self.exchange.now;
        self.exchange.step(now, &mut self.orders);
        // Numbers are counted from the first one.
        self.exchange
            .last
            .insert((node, kind), before.expect("it came once"));
    }

    /// Runs to a time, or until no message and no answer is under way.
    fn run_until(&mut self, until: Option<Instant>) {
        loop {
            self.take_all();
            if until.is_none() && !self.exchange.has_arrivals() && self.answers.is_empty() {
                return;
            }
            let answer = self.answers.keys().next().copied();
            let next = self.exchange.next_time();
            let at = answer.map(|(at, _)| at).into_iter().chain(next).min();
            if at.is_none() || until.is_some_and(|until| at > Some(until)) {
                let until = until.expect("something is under way");
                self.exchange.step(until, &mut self.orders);
                return;
            }
            match answer.filter(|(at, _)| next.is_none_or(|next| *at <= next)) {
                Some(key) => {
                    let (node, server, data) = self.answers.remove(&key).expect("just seen");
                    self.exchange.now = self.exchange.now.max(key.0);
                    self.reply(node, server, data);
                }
                None => {
                    self.exchange
                        .step(next.expect("the minimum"), &mut self.orders);
                }
            }
        }
    }

    fn take_all(&mut self) {
        for node in 0..self.exchange.nodes.len() {
            while let Some(event) = self.exchange.nodes[node].inbox.pop_front() {
                self.take(node, event);
            }
        }
    }

    fn take(&mut self, node: usize, event: Event) {
        match event {
            Event::Request {
                server,
                header,
                data,
                ..
            } => {
                let auto = self.auto.iter();
                let of_it = |((at, port), _): &(&(usize, Port), _)| {
                    *at == node && port.put_port() == header.port
                };
                let after = auto.clone().find(of_it).map(|(_, (after, _))| *after);
                self.count += 1;
                match after {
                    Some(after) => {
                        let at = (self.exchange.now + after, self.count);
                        self.answers.insert(at, (node, server, data.to_vec()));
                    }
                    None => self.executing.push((node, server, data.to_vec())),
                }
            }
            Event::Replied { transaction, .. } | Event::Failed { transaction, .. } => {
                self.open.retain(|open| *open != (node, transaction));
            }
            Event::ReplyDone { .. } => {
                let ports: Vec<Port> = self.auto.keys().map(|(_, port)| *port).collect();
                let serves = |port: &&Port| self.auto.contains_key(&(node, **port));
                if let Some(&port) = ports.iter().find(serves) {
                    self.exchange.act(node, &mut self.orders, |endpoint, now| {
                        endpoint.get_request(now, port).expect("room for a server")
                    });
                }
            }
            Event::Signalled { .. } => {}
        }
    }

    fn trace(&mut self) -> String {
        let lines = self.exchange.log.replace(Vec::new()).unwrap_or_default();
        let mut text = String::new();
        for line in lines {
            if !self
                .hidden
                .iter()
                .any(|kind| format!("{line} ").contains(kind))
            {
                let _ = writeln!(text, "{}", self.readable(&line));
            }
        }
        text
    }

    /// Names for ports and addresses, and numbers of transactions from 1.
    fn readable(&mut self, line: &str) -> String {
        let mut line = line.to_string();
        for name in &self.ports {
            line = line.replace(&get_port(name).put_port().to_string(), name);
        }
        for node in 0..self.exchange.nodes.len() {
            if let Some(endpoint) = &self.exchange.nodes[node].endpoint {
                line = line.replace(&endpoint.address().to_string(), &format!("@h{node}"));
            }
        }
        let mut out = String::new();
        let mut rest = line.as_str();
        while let Some(at) = rest.find('#') {
            let (before, number) = rest.split_at(at + 1);
            let end = number
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(number.len());
            let (tid, after) = number.split_at(end);
            let known = self.tids.iter().position(|known| known == tid);
            let count = known.unwrap_or_else(|| {
                self.tids.push(tid.to_string());
                self.tids.len() - 1
            });
            let _ = write!(out, "{before}{}", count + 1);
            rest = after;
        }
        out + rest
    }
}

fn get_port(name: &str) -> Port {
    let mut bytes = [0; 6];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    Port::new(bytes)
}

/// The quoted text of a command, or so many zeros.
fn data(line: &str) -> Vec<u8> {
    match line.split('"').nth(1) {
        Some(text) => text.as_bytes().to_vec(),
        None => {
            let mut words = line.split_whitespace().skip(2);
            let size = words.find_map(|word| word.parse().ok());
            vec![0; size.expect("a size or a text")]
        }
    }
}

fn number(word: &str) -> usize {
    word.parse()
        .unwrap_or_else(|_| panic!("a number, not {word:?}"))
}

fn index(node: &str) -> usize {
    number(
        node.strip_prefix('h')
            .unwrap_or_else(|| panic!("a host, not {node:?}")),
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
            runner.command(line);
            continue;
        }
        out += &runner.trace();
        while lines.next_if(|line| !line.is_empty()).is_some() {}
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
