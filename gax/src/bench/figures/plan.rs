//! What is measured for each figure.

use stack::flip_net::Link;

use super::bare::Bare;
use super::corosync::{Cluster, Transport};
use super::group::{Group, Shape};
use super::load::{Load, Method};
use super::namespaces::Namespaces;
use super::placement::Placement;
use super::point::{Limit, Point, Reference, Side, Unit, interleave};

/// One figure, or one table without a picture.
pub(super) struct Figure {
    pub name: &'static str,
    pub title: &'static str,
    /// The axis of the members, of r, of the groups.
    pub axis: &'static str,
    pub unit: Unit,
    pub placement: Placement,
    pub is_drawn: bool,
    measure: fn(&Figure, u32) -> Vec<Point>,
}

const fn figure(
    name: &'static str,
    title: &'static str,
    axis: &'static str,
    unit: Unit,
    placement: Placement,
    measure: fn(&Figure, u32) -> Vec<Point>,
) -> Figure {
    Figure {
        name,
        title,
        axis,
        unit,
        placement,
        is_drawn: true,
        measure,
    }
}

/// All figures, in the order of the thesis.
pub(super) const FIGURES: &[Figure] = &[
    figure(
        "3.19",
        "Delay for 1 sender, PB",
        "members",
        Unit::Seconds,
        Placement::OneCore,
        |figure, rounds| delays(figure, rounds, Method::Pb),
    ),
    figure(
        "3.21",
        "Delay for 1 sender, BB",
        "members",
        Unit::Seconds,
        Placement::OneCore,
        |figure, rounds| delays(figure, rounds, Method::Bb),
    ),
    figure(
        "3.22",
        "Throughput, all sending, PB",
        "members",
        Unit::Rate,
        Placement::Spread,
        |figure, rounds| rates(figure, rounds, Method::Pb),
    ),
    figure(
        "3.23",
        "Throughput, all sending, BB",
        "members",
        Unit::Rate,
        Placement::Spread,
        |figure, rounds| rates(figure, rounds, Method::Bb),
    ),
    figure(
        "3.24",
        "Throughput of groups in parallel, 0 bytes, PB",
        "groups",
        Unit::Rate,
        Placement::At(0),
        groups,
    ),
    figure(
        "3.25",
        "Delay for 1 sender by resilience, PB",
        "r",
        Unit::Seconds,
        Placement::OneCore,
        |figure, rounds| delays_by_r(figure, rounds, Method::Pb),
    ),
    figure(
        "3.26",
        "Delay for 1 sender by resilience, BB",
        "r",
        Unit::Seconds,
        Placement::OneCore,
        |figure, rounds| delays_by_r(figure, rounds, Method::Bb),
    ),
    Figure {
        is_drawn: false,
        ..figure(
            "rpc",
            "Null RPC and null send",
            "members",
            Unit::Seconds,
            Placement::OneCore,
            transactions,
        )
    },
    Figure {
        is_drawn: false,
        ..figure(
            "large",
            "Messages longer than a datagram, one sending, BB",
            "members",
            Unit::Rate,
            Placement::Spread,
            large,
        )
    },
    Figure {
        is_drawn: false,
        ..figure(
            "delay",
            "Delay beside corosync, PB",
            "members",
            Unit::Seconds,
            Placement::OneCore,
            |figure, rounds| beside_corosync(figure, rounds, &[2, 4], &[0, 1 << 10, 8 << 10]),
        )
    },
    Figure {
        is_drawn: false,
        ..figure(
            "messages",
            "Messages a second beside corosync, all sending, PB",
            "members",
            Unit::Rate,
            Placement::Spread,
            |figure, rounds| beside_corosync(figure, rounds, &[2, 3, 4], &[64]),
        )
    },
];

const SIZES: &[usize] = &[0, 1 << 10, 2 << 10, 4 << 10, 8 << 10];
const MEMBERS: &[usize] = &[2, 4, 8, 16, 30];
const RESILIENCES: &[u8] = &[0, 1, 2, 4, 8, 15];
const GROUP_SIZES: &[usize] = &[2, 4, 8];
const GROUPS_MAX: usize = 5;
/// More threads than this many members have say more about the scheduler.
const MEMBERS_IN_ALL_MAX: usize = 24;
const LARGE: &[usize] = &[64 << 10, 256 << 10, 1 << 20];
/// Bytes of a plain multicast under way.
const PLAIN_AHEAD: usize = 4 << 20;
/// Bytes that the headers of the group need in a datagram.
const PLAIN_HEADERS_LEN: usize = 128;

const DELAY_LIMIT: Limit = Limit::AtMost(1.5);
const RPC_LIMIT: Limit = Limit::AtMost(1.3);
const SEND_LIMIT: Limit = Limit::AtMost(1.08);
const LARGE_LIMIT: Limit = Limit::AtLeast(0.7);
/// Of the delay over its udp transport.
const COROSYNC_DELAY_LIMIT: Limit = Limit::AtMost(0.75);
/// Of the messages a second over either transport.
const COROSYNC_RATE_LIMIT: Limit = Limit::AtLeast(2.0);

impl Figure {
    /// The same with the members of other figures than those of throughput apart, if they shall be.
    pub(super) fn placed(&self, apart: bool) -> Figure {
        let placement = match self.placement {
            Placement::OneCore if apart => Placement::Apart,
            placement => placement,
        };
        Figure { placement, ..*self }
    }

    pub(super) fn measure(&self, rounds: u32) -> Vec<Point> {
        (self.measure)(self, rounds)
    }

    fn point(&self, series: String, x: usize) -> Point {
        Point {
            figure: self.name,
            unit: self.unit,
            series,
            axis: self.axis,
            x: x as f64,
            ours: Err("not measured".to_owned()),
            references: Vec::new(),
        }
    }
}

/// A size as it is said.
pub(super) fn size_text(size: usize) -> String {
    match size {
        0 => "0 B".to_owned(),
        size if size % (1 << 20) == 0 => format!("{} MB", size >> 20),
        size if size % (1 << 10) == 0 => format!("{} KB", size >> 10),
        size => format!("{size} B"),
    }
}

fn bare(shape: Shape, placement: Placement) -> Result<Bare, String> {
    Bare::open(shape, placement, false).map_err(|error| error.to_string())
}

/// The points of one group, a size each. What cannot be opened is said at every point.
fn sizes(
    figure: &Figure,
    rounds: u32,
    shape: Shape,
    x: usize,
    limit: Option<Limit>,
    load: fn(usize, usize) -> Load,
) -> Vec<Point> {
    let mut group = Group::start(shape, figure.placement);
    let text = |error: std::io::Error| error.to_string();
    let mut bares =
        [false, true].map(|polls| Bare::open(shape, figure.placement, polls).map_err(text));
    let measured = SIZES.iter().map(|size| {
        let load = load(*size, shape.members);
        let ours: Side<'_> = Box::new(|| {
            let group = group.as_ref().map_err(Clone::clone)?;
            match figure.unit {
                Unit::Seconds => group.delay(load),
                Unit::Rate => group.rate(load),
            }
        });
        let theirs = bares.iter_mut().map(|bare| -> Side<'_> {
            Box::new(move || {
                let bare = bare.as_mut().map_err(|error| error.clone())?;
                let value = match figure.unit {
                    Unit::Seconds => bare.delay(load),
                    Unit::Rate => bare.rate(load),
                };
                value.map_err(text)
            })
        });
        let sides = [ours].into_iter().chain(theirs).collect();
        let mut values = interleave(rounds, sides).into_iter();
        let mut point = figure.point(size_text(*size), x);
        point.ours = values.next().expect("ours is first");
        for ((name, limit), values) in [("bare", limit), ("bare, ppoll", None)]
            .into_iter()
            .zip(values)
        {
            point.references.push(Reference {
                name,
                limit,
                values,
            });
        }
        if point.ours.is_err() {
            // A group that failed is of no use to the sizes that follow.
            group = Group::start(shape, figure.placement);
        }
        point
    });
    measured.collect()
}

fn delays(figure: &Figure, rounds: u32, method: Method) -> Vec<Point> {
    let of = |members: &usize| {
        let shape = Shape {
            members: *members,
            method,
            resilience: 0,
        };
        let load = Load::one_at_a_time;
        sizes(figure, rounds, shape, *members, Some(DELAY_LIMIT), load)
    };
    MEMBERS.iter().flat_map(of).collect()
}

fn delays_by_r(figure: &Figure, rounds: u32, method: Method) -> Vec<Point> {
    let of = |resilience: &u8| {
        let r = usize::from(*resilience);
        let shape = Shape {
            members: (r + 1).max(2),
            method,
            resilience: *resilience,
        };
        let limit = (r <= 8).then_some(DELAY_LIMIT);
        sizes(figure, rounds, shape, r, limit, Load::one_at_a_time)
    };
    RESILIENCES.iter().flat_map(of).collect()
}

fn rates(figure: &Figure, rounds: u32, method: Method) -> Vec<Point> {
    let of = |members: &usize| {
        let shape = Shape {
            members: *members,
            method,
            resilience: 0,
        };
        sizes(figure, rounds, shape, *members, None, Load::poured)
    };
    MEMBERS.iter().flat_map(of).collect()
}

/// Groups side by side, each on a core: their messages a second together.
fn groups(figure: &Figure, rounds: u32) -> Vec<Point> {
    let shapes = GROUP_SIZES.iter().map(|members| Shape {
        members: *members,
        method: Method::Pb,
        resilience: 0,
    });
    let of = |shape: Shape| {
        let most = GROUPS_MAX.min(MEMBERS_IN_ALL_MAX / shape.members);
        (1..=most).map(move |count| parallel(figure, rounds, shape, count))
    };
    shapes.flat_map(of).collect()
}

fn parallel(figure: &Figure, rounds: u32, shape: Shape, count: usize) -> Point {
    let load = Load::poured(0, shape.members);
    let groups: Result<Vec<_>, _> = (0..count)
        .map(|at| Group::start(shape, Placement::At(at)))
        .collect();
    let bares: Result<Vec<_>, _> = (0..count)
        .map(|at| bare(shape, Placement::At(at)))
        .collect();
    let mut bares = bares;
    let ours: Side<'_> = Box::new(|| {
        let groups = groups.as_ref().map_err(Clone::clone)?;
        together(groups.iter().map(|group| || group.rate(load)), shape, load)
    });
    let theirs: Side<'_> = Box::new(|| {
        let bares = bares.as_mut().map_err(|error| error.clone())?;
        let rate = |bare: &mut Bare| bare.rate(load).map_err(|error| error.to_string());
        together(bares.iter_mut().map(|bare| move || rate(bare)), shape, load)
    });
    let mut values = interleave(rounds, vec![theirs, ours]);
    let mut point = figure.point(format!("{} members", shape.members), count);
    point.ours = values.pop().expect("two sides");
    point.references.push(Reference {
        name: "bare",
        limit: None,
        values: values.pop().expect("two sides"),
    });
    point
}

/// Messages a second of all groups, from the first one's beginning to the last one's end.
fn together(
    works: impl Iterator<Item = impl FnOnce() -> Result<f64, String> + Send>,
    shape: Shape,
    load: Load,
) -> Result<f64, String> {
    let begun = std::time::Instant::now();
    let rates: Result<Vec<_>, _> = std::thread::scope(|scope| {
        let threads: Vec<_> = works.map(|work| scope.spawn(work)).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().map_err(|_| "a group panicked".to_owned())?
        };
        threads.into_iter().map(join).collect()
    });
    let messages = rates?.len() * shape.members * load.count as usize;
    Ok(messages as f64 / begun.elapsed().as_secs_f64())
}

/// Null send against null RPC against bare exchanges.
fn transactions(figure: &Figure, rounds: u32) -> Vec<Point> {
    let shape = Shape {
        members: 2,
        method: Method::Pb,
        resilience: 0,
    };
    let load = Load::one_at_a_time(0, 2);
    let group = Group::start(shape, figure.placement);
    let group = || group.as_ref().map_err(Clone::clone);
    let [mut first, mut second] = [(); 2].map(|()| bare(shape, figure.placement));
    let said = |error: std::io::Error| error.to_string();
    let measured = interleave(
        rounds,
        vec![
            Box::new(|| group()?.delay(load)),
            Box::new(|| group()?.transact(load)),
            Box::new(|| {
                first
                    .as_mut()
                    .map_err(|e| e.clone())?
                    .delay(load)
                    .map_err(said)
            }),
            Box::new(|| {
                second
                    .as_mut()
                    .map_err(|e| e.clone())?
                    .transact(load)
                    .map_err(said)
            }),
        ],
    );
    let [send, rpc, bare_send, bare_rpc] = <[_; 4]>::try_from(measured).expect("four sides");
    let reference = |name, limit, values| Reference {
        name,
        limit,
        values,
    };
    let mut sending = figure.point("null send".to_owned(), 2);
    sending.ours = send;
    sending.references = vec![
        reference("null RPC", Some(SEND_LIMIT), rpc.clone()),
        reference("bare", Some(DELAY_LIMIT), bare_send),
    ];
    let mut asking = figure.point("null RPC".to_owned(), 2);
    asking.ours = rpc;
    asking.references = vec![reference("bare", Some(RPC_LIMIT), bare_rpc)];
    vec![sending, asking]
}

/// One member sends what no datagram carries.
fn large(figure: &Figure, rounds: u32) -> Vec<Point> {
    let piece = Link::udp(60 << 10, true).mtu - PLAIN_HEADERS_LEN;
    let mut points = Vec::new();
    for members in [2, 3, 4] {
        let shape = Shape {
            members,
            method: Method::Bb,
            resilience: 0,
        };
        let group = Group::start(shape, figure.placement);
        let mut plain = bare(shape, figure.placement);
        for size in LARGE {
            let load = Load {
                size: *size,
                count: ((32 << 20) / size) as u32,
                warm: 0,
            };
            let ours: Side<'_> =
                Box::new(|| group.as_ref().map_err(Clone::clone)?.rate_of_one(load));
            let theirs: Side<'_> = Box::new(|| {
                let plain = plain.as_mut().map_err(|error| error.clone())?;
                let rate = plain.multicast_rate(load, piece, PLAIN_AHEAD);
                rate.map_err(|error| error.to_string())
            });
            let mut values = interleave(rounds, vec![theirs, ours]);
            let mut point = figure.point(size_text(*size), members);
            point.ours = values.pop().expect("two sides");
            point.references.push(Reference {
                name: "plain",
                limit: Some(LARGE_LIMIT),
                values: values.pop().expect("two sides"),
            });
            points.push(point);
        }
    }
    points
}

/// Ours between namespaces, as corosync is; on the loopback interface where there can be none.
fn group_beside(shape: Shape, placement: Placement) -> (Result<Group, String>, Option<Namespaces>) {
    match Namespaces::new(shape.members) {
        Ok(namespaces) => {
            let group = Group::start_within(&namespaces, shape, placement);
            (group, Some(namespaces))
        }
        Err(why) => {
            eprintln!("no network namespaces, so the loopback interface: {why}");
            (Group::start(shape, placement), None)
        }
    }
}

/// Corosync with both transports, where it is installed, against ours.
fn beside_corosync(figure: &Figure, rounds: u32, members: &[usize], sizes: &[usize]) -> Vec<Point> {
    let mut points = Vec::new();
    for members in members {
        let shape = Shape {
            members: *members,
            method: Method::Pb,
            resilience: 0,
        };
        let (group, _namespaces) = group_beside(shape, figure.placement);
        let transports = [Transport::Udp, Transport::Knet];
        let mut clusters =
            transports.map(|transport| Cluster::start(transport, *members, figure.placement));
        for size in sizes {
            let load = match figure.unit {
                Unit::Seconds => Load::one_at_a_time(*size, *members),
                Unit::Rate => Load::streamed(*size, *members),
            };
            let ours: Side<'_> = Box::new(|| {
                let group = group.as_ref().map_err(Clone::clone)?;
                match figure.unit {
                    Unit::Seconds => group.delay(load),
                    Unit::Rate => group.rate(load),
                }
            });
            let theirs = clusters.iter_mut().map(|cluster| -> Side<'_> {
                Box::new(move || {
                    let cluster = cluster.as_mut().map_err(|error| error.clone())?;
                    match figure.unit {
                        Unit::Seconds => cluster.delay(load),
                        Unit::Rate => cluster.rate(load),
                    }
                })
            });
            let sides = [ours].into_iter().chain(theirs).collect();
            let mut values = interleave(rounds, sides).into_iter();
            let mut point = figure.point(size_text(*size), *members);
            point.ours = values.next().expect("ours is first");
            let limits = match figure.unit {
                Unit::Seconds => [Some(COROSYNC_DELAY_LIMIT), None],
                Unit::Rate => [Some(COROSYNC_RATE_LIMIT); 2],
            };
            let names = ["corosync udp", "corosync knet"];
            for ((name, limit), values) in names.into_iter().zip(limits).zip(values) {
                point.references.push(Reference {
                    name,
                    limit,
                    values,
                });
            }
            points.push(point);
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_said_as_people_do() {
        let texts = [0, 64, 1 << 10, 64 << 10, 1 << 20].map(size_text);
        assert_eq!(texts, ["0 B", "64 B", "1 KB", "64 KB", "1 MB"]);
    }

    #[test]
    fn every_figure_has_its_own_name() {
        let mut names: Vec<_> = FIGURES.iter().map(|figure| figure.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FIGURES.len());
    }
}
