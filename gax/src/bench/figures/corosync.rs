//! Corosync's closed process groups, where it is installed: daemons in network namespaces of their own on one bridge, each with a
//! client that a small C program is. It has its own configuration and state; that of the host is not touched.
//!
//! Each of its members is two processes. Ours is measured between namespaces on such a bridge, too.

use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::load::Load;
use super::namespaces::{Namespaces, address};
use super::placement::Placement;

const CLIENT: &str = include_str!("corosync.c");
const SENDER: usize = 1;

/// How its daemons talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Knet,
}

impl Transport {
    fn name(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Knet => "knet",
        }
    }
}

/// Daemons and clients that run.
pub(super) struct Cluster {
    clients: Vec<Client>,
    namespaces: Namespaces,
    _folder: Folder,
}

struct Client {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

/// Gone with its files when this is.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed from the folder for temporary files stays there.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What the daemons read; the same for all.
fn configuration(transport: Transport, count: usize) -> String {
    let interface = match transport {
        Transport::Udp => {
            "  interface {\n    ringnumber: 0\n    bindnetaddr: 10.77.0.0\n    \
             mcastaddr: 239.255.77.14\n    mcastport: 5405\n  }\n"
        }
        Transport::Knet => "",
    };
    let nodes: String = (0..count)
        .map(|number| {
            let (id, address) = (number + 1, address(number));
            format!(
                "  node {{\n    nodeid: {id}\n    name: node{id}\n    ring0_addr: {address}\n  }}\n"
            )
        })
        .collect();
    format!(
        "totem {{\n  version: 2\n  cluster_name: figures\n  transport: {}\n  crypto_cipher: none\n  crypto_hash: none\n{interface}}}\n\
         nodelist {{\n{nodes}}}\n\
         logging {{\n  to_logfile: no\n  to_syslog: no\n  to_stderr: no\n}}\n\
         system {{\n  sched_rr: no\n  move_to_root_cgroup: no\n}}\n",
        transport.name()
    )
}

/// Compiles the client; says why there is none.
fn compile(folder: &Path) -> Result<PathBuf, String> {
    let source = folder.join("client.c");
    let client = folder.join("client");
    std::fs::write(&source, CLIENT).map_err(|error| error.to_string())?;
    let cc = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let output = Command::new(cc)
        .args(["-O2", "-o"])
        .args([&client, &source])
        .arg("-lcpg")
        .output()
        .map_err(|error| format!("no C compiler: {error}"))?;
    match output.status.success() {
        true => Ok(client),
        false => Err("libcpg-dev is not installed".to_owned()),
    }
}

impl Cluster {
    /// Starts so many daemons with their clients and waits until all are in one group.
    pub(super) fn start(
        transport: Transport,
        count: usize,
        placement: Placement,
    ) -> Result<Cluster, String> {
        let found = Command::new("corosync").arg("-v").output();
        found.map_err(|_| "corosync is not installed".to_owned())?;
        let namespaces = Namespaces::new(count)?;
        let folder = format!("orca-{}", namespaces.of(0));
        let folder = Folder(std::env::temp_dir().join(folder));
        std::fs::create_dir_all(&folder.0).map_err(|error| error.to_string())?;
        let client = compile(&folder.0)?;
        let file = folder.0.join("corosync.conf");
        std::fs::write(&file, configuration(transport, count))
            .map_err(|error| error.to_string())?;
        let mut cluster = Cluster {
            clients: Vec::new(),
            namespaces,
            _folder: folder,
        };
        for number in 0..count {
            let name = cluster.namespaces.of(number).to_owned();
            let started = placed(placement, number, || start(&name, &file, &client))?;
            let mut process = started?;
            let to = process.stdin.take().expect("it is piped");
            let from = BufReader::new(process.stdout.take().expect("it is piped"));
            cluster.clients.push(Client { process, to, from });
        }
        cluster.all(|_| format!("members {count}"))?;
        Ok(cluster)
    }

    /// Seconds from sending to the own delivery, one at a time.
    pub(super) fn delay(&mut self, load: Load) -> Result<f64, String> {
        let Load { size, count, warm } = load;
        let said = self.all(|number| match number {
            SENDER => format!("delay {size} {warm} {count}"),
            _ => format!("take {}", warm + count),
        })?;
        Ok(said[SENDER])
    }

    /// Messages a second with all sending.
    pub(super) fn rate(&mut self, load: Load) -> Result<f64, String> {
        let total = load.count as usize * self.clients.len();
        let seconds = self.all(|_| format!("pour {} {} {total}", load.size, load.count))?;
        Ok(total as f64 / super::group::longest(&seconds))
    }

    /// Tells every client something, and waits for all answers.
    fn all(&mut self, line: impl Fn(usize) -> String) -> Result<Vec<f64>, String> {
        for (number, client) in self.clients.iter_mut().enumerate() {
            let told = client
                .to
                .write_all(format!("{}\n", line(number)).as_bytes());
            told.map_err(|error| format!("a client of corosync: {error}"))?;
        }
        let answers = self.clients.iter_mut().map(|client| {
            let mut line = String::new();
            let read = client.from.read_line(&mut line);
            read.map_err(|error| error.to_string())?;
            let number = line.trim().parse();
            number.map_err(|_| "a client of corosync gave up".to_owned())
        });
        answers.collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for client in &mut self.clients {
            // One that has ended already cannot be killed. Its daemon goes with it.
            let _ = client.process.kill();
            let _ = client.process.wait();
        }
    }
}

/// Does something where a member belongs: what it starts stays there.
fn placed<T: Send>(
    placement: Placement,
    number: usize,
    act: impl FnOnce() -> T + Send,
) -> Result<T, String> {
    std::thread::scope(|scope| {
        let acting = scope.spawn(move || {
            placement.pin(number);
            act()
        });
        acting.join().map_err(|_| "a start panicked".to_owned())
    })
}

/// A daemon in its namespace, with state of its own over that of the host, and the client, whose end is the daemon's.
fn start(namespace: &str, file: &Path, client: &Path) -> Result<Child, String> {
    let script = "mount --make-rprivate / && mount -t tmpfs none /run && mkdir -p /var/lib/corosync && \
                  mount -t tmpfs none /var/lib/corosync || exit 1; \
                  setpriv --pdeathsig KILL corosync -f -c \"$0\" >/dev/null 2>&1 & exec \"$1\"";
    Command::new("ip")
        .args(["netns", "exec", namespace, "sh", "-c", script])
        .args([file, client])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_is_in_the_configuration() {
        let text = configuration(Transport::Udp, 3);
        assert_eq!(text.matches("node {").count(), 3, "{text}");
        assert!(
            text.contains("transport: udp") && text.contains("mcastport"),
            "{text}"
        );
        assert!(!configuration(Transport::Knet, 2).contains("mcastport"));
    }
}
