//! A report for readers: tables whose columns are as wide as they must be.

use std::fmt::Write;

use stack::flip_net::wire::Kind;

use super::report::{NetworkReport, Report, Traffic};

/// The whole text.
pub fn of(report: &Report) -> String {
    let mut text = format!("flipd {}, up {}\n\n", report.version, span(report.up_s));
    text += &networks(report);
    text += "\n";
    text += &packets(report);
    text += &dropped(report);
    text += "\n";
    text += &routes(report);
    text
}

fn networks(report: &Report) -> String {
    let mut table = Table::new(&[
        "<NETWORK", "<KIND", ">WEIGHT", ">MTU", "<STATE", "<TRUSTED", "<KEYED", ">LOST", "<WHERE",
    ]);
    let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    for network in &report.networks {
        table.row([
            network.name.clone(),
            network.kind.clone(),
            network.weight.to_string(),
            network.mtu.to_string(),
            if network.on { "on" } else { "off" }.to_owned(),
            yes(network.trusted),
            yes(network.keyed),
            network.lost.to_string(),
            place(network),
        ]);
    }
    table.to_string()
}

/// Where a network can be found, and how a tunnel stands.
fn place(network: &NetworkReport) -> String {
    let mut place = network.address.clone().unwrap_or_default();
    let Some(tunnel) = &network.tunnel else {
        return place;
    };
    if !place.is_empty() {
        place += ", ";
    }
    match (&tunnel.peer, &tunnel.ended) {
        (Some(peer), _) => place += &format!("connected to {peer}"),
        (None, Some(why)) => place += &format!("not connected ({why})"),
        (None, None) => place += "not connected",
    }
    place
}

fn packets(report: &Report) -> String {
    let names = Kind::ALL.iter().map(|kind| format!(">{}", kind.name()));
    let kinds: Vec<String> = names.collect();
    let mut head = vec!["<PACKETS", "<"];
    head.extend(kinds.iter().map(String::as_str));
    head.extend([">ALL", ">BYTES"]);
    let mut table = Table::new(&head);
    let mut row = |name: &str, direction: &str, traffic: &Traffic| {
        let count = |name: &str| traffic.types.get(name).copied().unwrap_or(0);
        let mut cells = vec![name.to_owned(), direction.to_owned()];
        cells.extend(Kind::ALL.iter().map(|kind| count(kind.name()).to_string()));
        cells.extend([traffic.packets.to_string(), traffic.bytes.to_string()]);
        table.row(cells);
    };
    for network in &report.networks {
        row(&network.name, "sent", &network.sent);
        row("", "received", &network.received);
    }
    table.to_string()
}

/// What each network dropped, and what flipd itself did; nothing if there was nothing.
fn dropped(report: &Report) -> String {
    let mut table = Table::new(&["<DROPPED", "<REASON", ">COUNT"]);
    let mut is_empty = true;
    let networks = report.networks.iter();
    let by_networks = networks.map(|network| (network.name.as_str(), &network.dropped));
    for (place, reasons) in by_networks.chain([("flipd", &report.dropped)]) {
        for (reason, count) in reasons {
            table.row([place.to_owned(), reason.clone(), count.to_string()]);
            is_empty = false;
        }
    }
    match is_empty {
        true => String::new(),
        false => format!("\n{table}"),
    }
}

fn routes(report: &Report) -> String {
    if report.routes.is_empty() {
        return "no routes\n".to_owned();
    }
    let mut table = Table::new(&[
        "<ADDRESS", "<NETWORK", "<STATION", ">HOPS", ">COUNT", ">TRUSTED", ">IDLE",
    ]);
    for way in &report.routes {
        table.row([
            way.address.clone(),
            way.network.clone(),
            way.station.clone(),
            way.hops.to_string(),
            way.count.to_string(),
            way.trusted.to_string(),
            span(way.idle_s),
        ]);
    }
    let mut text = table.to_string();
    if report.routes_left_out > 0 {
        let _ = writeln!(text, "and {} more", report.routes_left_out);
    }
    text
}

/// The two largest units of a time.
fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match () {
        () if days > 0 => format!("{days} d {} h", hours % 24),
        () if hours > 0 => format!("{hours} h {} min", minutes % 60),
        () if minutes > 0 => format!("{minutes} min {} s", seconds % 60),
        () => format!("{seconds} s"),
    }
}

/// Rows of cells. A heading begins with `<` or `>`: to which side its column is pushed.
struct Table {
    rows: Vec<Vec<String>>,
    to_the_right: Vec<bool>,
}

impl Table {
    fn new(head: &[&str]) -> Table {
        Table {
            rows: vec![head.iter().map(|title| title[1..].to_owned()).collect()],
            to_the_right: head.iter().map(|title| title.starts_with('>')).collect(),
        }
    }

    fn row(&mut self, cells: impl Into<Vec<String>>) {
        let cells = cells.into();
        assert_eq!(cells.len(), self.to_the_right.len(), "a cell a column");
        self.rows.push(cells);
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let width = |at: usize| {
            let cells = self.rows.iter().map(|row| row[at].chars().count());
            cells.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.to_the_right.len()).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, &width), &right) in row.iter().zip(&widths).zip(&self.to_the_right) {
                if right {
                    write!(line, "{cell:>width$}  ")?;
                } else {
                    write!(line, "{cell:<width$}  ")?;
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
