//! The command line.
//!
//! All options of `CONTRACT.md` are known. Those that nothing stands behind yet are refused by name, so that no script
//! believes in a setting that has no effect.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Parser, ValueEnum};

use crate::status;

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Options {
    pub processors: u16,
    pub networks: Vec<Choice>,
    /// A network beyond this host may go without a key.
    pub insecure: bool,
    pub stats: Option<StatsForm>,
    pub label: bool,
    pub stack: Option<u64>,
    pub buffer: Option<u64>,
    pub timeout: Option<Duration>,
    pub executable: OsString,
    pub arguments: Vec<OsString>,
}

/// A network to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    Shm,
    /// By the interface with this address.
    Udp(IpAddr),
    /// On the interface of this name.
    Ethernet(String),
}

/// How statistics are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StatsForm {
    Table,
    Json,
}

/// The most processors of one run.
pub const PROCESSORS_MAX: u16 = 1024;

/// Why there is nothing to run.
#[derive(Debug)]
pub enum Stop {
    /// Help or version was asked for, or clap found a mistake.
    Clap(clap::Error),
    /// A mistake found here.
    Mistake(String),
}

impl Stop {
    /// Prints it and returns the exit status.
    pub fn report(self) -> u8 {
        match self {
            Stop::Clap(error) => {
                // Failing to print a usage message leaves nothing better to do.
                let _ = error.print();
                match error.kind() {
                    ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => 0,
                    _ => status::COMMAND_LINE,
                }
            }
            Stop::Mistake(message) => {
                eprintln!("gax: {message}");
                status::COMMAND_LINE
            }
        }
    }
}

#[derive(Parser, Debug)]
#[command(
    name = "gax",
    version,
    about = "Runs an Orca program on several processors",
    override_usage = "gax [-n N] [OPTIONS] EXE [ARGS...]",
    after_help = "Options stand before EXE; what follows it goes to the program."
)]
struct Arguments {
    /// Number of processors [default: the cores of this host]
    #[arg(short = 'n', value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(PROCESSORS_MAX)))]
    processors: Option<u16>,
    /// Network between them: auto, shm, udp, udp=ADDRESS (of an interface), ethernet=IFNAME; several with commas: the
    /// lightest that reaches is used [auto: shm within a host]
    #[arg(
        long,
        value_name = "NET",
        default_value = "auto",
        hide_default_value = true
    )]
    net: String,
    /// Let a network beyond this host go without the run's key: anybody there can read and forge
    #[arg(long)]
    insecure: bool,
    /// Print after the run how many messages each processor sent and received
    #[arg(
        long,
        value_name = "FORM",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "table"
    )]
    stats: Option<StatsForm>,
    /// Prefix each line of output with its processor
    #[arg(long)]
    label: bool,
    /// Size of the stack of an Orca process, such as 256K
    #[arg(long, value_name = "SIZE", value_parser = size)]
    stack: Option<u64>,
    /// Bound of the buffers between processors, such as 64M
    #[arg(long, value_name = "SIZE", value_parser = size)]
    buffer: Option<u64>,
    /// End the run after this time
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,

    #[arg(long, value_name = "FILE", hide = true)]
    hosts: Option<OsString>,
    #[arg(long, value_name = "A,B", hide = true)]
    host: Option<OsString>,
    #[arg(long, value_name = "P", hide = true)]
    policy: Option<OsString>,
    #[arg(long, value_name = "B,P", hide = true)]
    costs: Option<OsString>,
    #[arg(long, hide = true)]
    no_strategy: bool,
    #[arg(long, hide = true)]
    dedicated: bool,
    #[arg(long, hide = true)]
    explain: bool,
    #[arg(long, value_name = "FILE", hide = true)]
    trace: Option<OsString>,
    #[arg(long, value_name = "DIR", hide = true)]
    checkpoint_dir: Option<OsString>,
    #[arg(long, value_name = "SECONDS|auto", hide = true)]
    checkpoint_every: Option<OsString>,
    #[arg(long, value_name = "DIR", hide = true)]
    resume: Option<OsString>,
    #[arg(long, hide = true)]
    backtrace: bool,

    /// The program, made by `orcac build`, and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = false,
        value_name = "EXE [ARGS]"
    )]
    command: Vec<OsString>,
}

/// Understands the command line; its first element is the command's own name.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Options, Stop> {
    let given = Arguments::try_parse_from(arguments).map_err(Stop::Clap)?;
    if let Some(name) = unavailable(&given) {
        return Err(Stop::Mistake(format!("{name} is not available yet")));
    }
    let networks = networks(&given.net)?;
    let mut command = given.command.into_iter();
    let executable = command.next().expect("clap requires one element");
    Ok(Options {
        processors: given.processors.unwrap_or_else(cores),
        networks,
        insecure: given.insecure,
        stats: given.stats,
        label: given.label,
        stack: given.stack,
        buffer: given.buffer,
        timeout: given.timeout,
        executable,
        arguments: command.collect(),
    })
}

/// Understands `--net`.
fn networks(text: &str) -> Result<Vec<Choice>, Stop> {
    let mut chosen = Vec::new();
    for word in text.split(',') {
        let choice = match word.split_once('=') {
            None if word == "auto" || word == "shm" => Choice::Shm,
            None if word == "udp" => Choice::Udp(Ipv4Addr::LOCALHOST.into()),
            Some(("udp", address)) => match address.parse() {
                Ok(address) => Choice::Udp(address),
                Err(_) => {
                    let text = format!(
                        "--net {word}: `{address}` is no address of an interface, such as 127.0.0.1"
                    );
                    return Err(Stop::Mistake(text));
                }
            },
            Some(("ethernet", name)) if !name.is_empty() => Choice::Ethernet(name.to_owned()),
            _ => {
                return Err(Stop::Mistake(format!(
                    "there is no network `{word}`; the networks are auto, shm, udp, udp=ADDRESS and ethernet=IFNAME"
                )));
            }
        };
        if chosen.contains(&choice) {
            return Err(Stop::Mistake(format!("--net {text} names `{word}` twice")));
        }
        chosen.push(choice);
    }
    Ok(chosen)
}

fn unavailable(given: &Arguments) -> Option<&'static str> {
    [
        (given.hosts.is_some(), "--hosts"),
        (given.host.is_some(), "--host"),
        (given.policy.is_some(), "--policy"),
        (given.costs.is_some(), "--costs"),
        (given.no_strategy, "--no-strategy"),
        (given.dedicated, "--dedicated"),
        (given.explain, "--explain"),
        (given.trace.is_some(), "--trace"),
        (given.checkpoint_dir.is_some(), "--checkpoint-dir"),
        (given.checkpoint_every.is_some(), "--checkpoint-every"),
        (given.resume.is_some(), "--resume"),
        (given.backtrace, "--backtrace"),
    ]
    .into_iter()
    .find_map(|(is_given, name)| is_given.then_some(name))
}

fn cores() -> u16 {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    u16::try_from(cores)
        .unwrap_or(PROCESSORS_MAX)
        .min(PROCESSORS_MAX)
}

/// `4096`, `256K`, `64M`, `1G`.
fn size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'K' | b'k') => (&text[..text.len() - 1], 10),
        Some(b'M' | b'm') => (&text[..text.len() - 1], 20),
        Some(b'G' | b'g') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let bad = || "expected a size such as 65536, 256K or 64M".to_owned();
    let number: u64 = digits.parse().map_err(|_| bad())?;
    match number.checked_mul(1 << shift) {
        Some(bytes) if bytes > 0 => Ok(bytes),
        _ => Err(bad()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse::<f64>()
        .ok()
        .filter(|seconds| *seconds > 0.0)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "expected a number of seconds above 0".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &str) -> Result<Options, Stop> {
        parse(line.split(' ').map(OsString::from))
    }

    fn mistake(line: &str) -> String {
        match options(line).expect_err("a mistake") {
            Stop::Clap(error) => error.to_string(),
            Stop::Mistake(message) => message,
        }
    }

    #[test]
    fn what_follows_the_program_is_the_programs() {
        let options =
            options("gax -n 3 --stats=json --label ./tsp tsp14 -n 4 --stats").expect("fine");
        assert_eq!(options.processors, 3);
        assert_eq!(options.stats, Some(StatsForm::Json));
        assert!(options.label);
        assert_eq!(options.executable, "./tsp");
        assert_eq!(options.arguments, ["tsp14", "-n", "4", "--stats"]);
    }

    #[test]
    fn stats_without_a_form_is_a_table_and_eats_no_argument() {
        let options = options("gax --stats ./asp 500").expect("fine");
        assert_eq!(options.stats, Some(StatsForm::Table));
        assert_eq!(options.arguments, ["500"]);
    }

    #[test]
    fn an_unknown_option_is_refused_with_a_suggestion() {
        let message = mistake("gax --lable ./tsp");
        assert!(message.contains("--label"), "{message}");
    }

    #[test]
    fn an_option_without_anything_behind_it_is_refused_by_name() {
        assert_eq!(
            mistake("gax --hosts file ./tsp"),
            "--hosts is not available yet"
        );
        assert_eq!(
            mistake("gax --policy static ./tsp"),
            "--policy is not available yet"
        );
    }

    #[test]
    fn networks_are_named_and_may_be_several() {
        let chosen =
            |net: &str| options(&format!("gax --net {net} ./tsp")).map(|options| options.networks);
        let local = Choice::Udp(Ipv4Addr::LOCALHOST.into());
        assert_eq!(options("gax ./tsp").expect("fine").networks, [Choice::Shm]);
        assert_eq!(chosen("auto").expect("fine"), [Choice::Shm]);
        assert_eq!(chosen("shm,udp").expect("fine"), [Choice::Shm, local]);
        assert_eq!(
            chosen("udp=::1").expect("fine"),
            [Choice::Udp(std::net::Ipv6Addr::LOCALHOST.into())]
        );
        assert_eq!(
            chosen("ethernet=lo").expect("fine"),
            [Choice::Ethernet("lo".to_owned())]
        );
        assert!(mistake("gax --net tcp ./tsp").starts_with("there is no network `tcp`"));
        assert!(
            mistake("gax --net ethernet= ./tsp").starts_with("there is no network `ethernet=`")
        );
        assert!(mistake("gax --net udp=lo ./tsp").contains("`lo` is no address"));
        assert_eq!(
            mistake("gax --net shm,auto ./tsp"),
            "--net shm,auto names `auto` twice"
        );
    }

    #[test]
    fn sizes_and_times_have_units_and_bounds() {
        let options = options("gax --stack 256K --buffer 64M --timeout 1.5 ./tsp").expect("fine");
        assert_eq!(options.stack, Some(256 << 10));
        assert_eq!(options.buffer, Some(64 << 20));
        assert_eq!(options.timeout, Some(Duration::from_millis(1500)));
        for line in [
            "gax --stack 0 ./tsp",
            "gax --stack 99999999999999G ./tsp",
            "gax --timeout -1 ./tsp",
            "gax --timeout nan ./tsp",
            "gax -n 0 ./tsp",
            "gax -n 100000 ./tsp",
            "gax",
        ] {
            options_are_refused(line);
        }
    }

    fn options_are_refused(line: &str) {
        assert!(options(line).is_err(), "{line} should be refused");
    }
}
