//! What a configuration that was read again changes: pure, from what runs and what is asked for.
//!
//! Only trust changes while a box runs. Trust is taken away whatever else has changed; it is given only to a
//! network that is as it was, since the reason for it, a key or an address, may be among what has not come into effect.

use super::config::{Config, Network};

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The network with this number is trusted from now on, or no longer.
    Trust { at: usize, trusted: bool },
    /// This has no effect before the next start.
    Restart(String),
}

/// What has changed, in the order of the networks that run.
pub fn changes(running: &Config, asked: &Config) -> Vec<Change> {
    let mut changes = Vec::new();
    let needs_restart = |what: String| Change::Restart(format!("{what}: that needs a restart"));
    if running.status != asked.status {
        changes.push(needs_restart("`status` has changed".to_owned()));
    }
    for (at, old) in running.networks.iter().enumerate() {
        let Some(new) = find(asked, &old.name) else {
            changes.push(needs_restart(format!("network {} is gone", old.name)));
            continue;
        };
        let others = differences(old, new);
        if old.trusted != new.trusted && (others.is_empty() || !new.trusted) {
            let trusted = new.trusted;
            changes.push(Change::Trust { at, trusted });
        }
        changes.extend(
            others
                .iter()
                .map(|what| needs_restart(format!("{what} of network {} has changed", old.name))),
        );
    }
    let added = asked
        .networks
        .iter()
        .filter(|new| find(running, &new.name).is_none());
    changes.extend(added.map(|new| needs_restart(format!("network {} is new", new.name))));
    changes
}

fn find<'a>(config: &'a Config, name: &str) -> Option<&'a Network> {
    config.networks.iter().find(|network| network.name == name)
}

/// What differs but trust; where a network stands in the file does not matter.
fn differences(old: &Network, new: &Network) -> Vec<&'static str> {
    [
        (old.carrier != new.carrier, "the kind or an address"),
        (old.weight != new.weight, "`weight`"),
        (old.mtu != new.mtu, "`mtu`"),
        (old.key != new.key, "`key`"),
    ]
    .into_iter()
    .filter_map(|(differs, what)| differs.then_some(what))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::super::config::parse;
    use super::*;

    /// Two networks; `fields` are those of the second one.
    fn config(fields: &str) -> Config {
        let text = format!(
            "[[network]]\nname = \"a\"\nkind = \"tunnel-tcp\"\nconnect = \"127.0.0.1:5\"\n\
             [[network]]\nname = \"b\"\nkind = \"udp\"\nport = 5\n{fields}\n"
        );
        parse(&text).expect("a good text")
    }

    fn check(old: &str, new: &str, expected: &[&str]) {
        let changes = changes(&config(old), &config(new));
        let said = changes.iter().map(|change| match change {
            Change::Trust { at, trusted } => format!("{at} {trusted}"),
            Change::Restart(text) => text.clone(),
        });
        assert_eq!(said.collect::<Vec<_>>(), expected, "{old} -> {new}");
    }

    const HERE: &str = "mtu = 1000\npeers = [\"127.0.0.1:6\"]";
    const THERE: &str = "mtu = 1000\ninterface = \"10.0.0.1\"\npeers = [\"10.0.0.2:6\"]";

    #[test]
    fn trust_changes_at_once() {
        let untrusted = format!("{HERE}\ntrusted = false");
        check(HERE, HERE, &[]);
        check(HERE, &untrusted, &["1 false"]);
        check(&untrusted, HERE, &["1 true"]);
        // `insecure` is no change by itself.
        let insecure = format!("{THERE}\ntrusted = true\ninsecure = true");
        check(THERE, &insecure, &["1 true"]);
    }

    #[test]
    fn trust_is_not_given_for_a_reason_that_is_not_there_yet() {
        let key = "`key` of network b has changed: that needs a restart";
        let keyed = format!("{THERE}\nkey = \"k\"");
        check(THERE, &keyed, &[key]);
        check(&keyed, THERE, &["1 false", key]);
        let address = "the kind or an address of network b has changed: that needs a restart";
        check(THERE, HERE, &[address]);
    }

    #[test]
    fn other_changes_are_named() {
        let other = format!("{HERE}\nweight = 9").replace("1000", "2000");
        let expected = [
            "`weight` of network b has changed: that needs a restart",
            "`mtu` of network b has changed: that needs a restart",
        ];
        check(HERE, &other, &expected);
        let (old, mut new) = (config(HERE), config(HERE));
        new.networks[0].name = "c".to_owned();
        new.networks.reverse();
        new.status = Some("s".into());
        let restart = |text: &str| Change::Restart(format!("{text}: that needs a restart"));
        let expected = [
            restart("`status` has changed"),
            restart("network a is gone"),
            restart("network c is new"),
        ];
        assert_eq!(changes(&old, &new), expected);
    }
}
