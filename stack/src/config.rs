//! What a processor's stack is told when it is made. Plain data.

use std::sync::Arc;

use capability::Port;
use flip_net::Link;
use flip_net::address::FlipAddress;
use flip_net::driver::Device;

/// Bytes of the group's header and the header of the user's message, in front of the payload.
const HEADERS_LEN: usize = group::GROUP_HEADER_SIZE + capability::HEADER_SIZE;

/// The configuration of one stack.
#[derive(Clone, Debug)]
pub struct Config {
    /// Rules, timing and table sizes of the box.
    pub flip: flip_net::Config,
    /// The attached networks; devices are given to the driver in the same order.
    pub links: Vec<Link>,
    /// The group: its bounds are those of the delivery queue, too.
    pub group: group::Config,
    /// Whether this processor creates the group, or joins it.
    pub founds: bool,
    /// The RPC endpoint, for who wants one.
    pub rpc: Option<rpc::Config>,
}

impl Config {
    /// A stack on these networks, in the group with this port, with what fits them: what is longer
    /// than a packet goes by BB, and the first search goes to the cheapest network.
    ///
    /// # Panics
    /// Without a network.
    pub fn new(links: Vec<Link>, port: Port, founds: bool) -> Config {
        let room = links
            .iter()
            .map(Link::payload_len_max)
            .min()
            .expect("at least one network");
        let mut group = group::Config::new(port, FlipAddress::one_way);
        group.large = u32::try_from(room.saturating_sub(HEADERS_LEN) + 1).unwrap_or(u32::MAX);
        group.locate_first_ring = links.iter().map(|link| link.weight).min().unwrap_or(0);
        let flip = flip_net::Config {
            // Who runs switches on the network of a program says so.
            flat: links.len() == 1,
            ..flip_net::Config::default()
        };
        Config {
            flip,
            links,
            group,
            founds,
            rpc: None,
        }
    }

    /// The same for these devices; whether it founds the group is for who starts it to say.
    ///
    /// # Panics
    /// Without a device.
    pub fn of(devices: &[Arc<dyn Device>], port: Port) -> Config {
        let links = devices.iter().map(|device| device.link()).collect();
        Config::new(links, port, true)
    }

    /// The same with an RPC endpoint that fits the networks.
    ///
    /// # Panics
    /// Without a network.
    #[must_use]
    pub fn with_rpc(mut self) -> Config {
        let room = self.links.iter().map(Link::payload_len_max).min();
        let weight = self.links.iter().map(|link| link.weight).min();
        self.rpc = Some(rpc::Config {
            packet_len_max: room.expect("at least one network"),
            locate_first_ring: weight.expect("at least one network"),
            ..rpc::Config::new(FlipAddress::one_way)
        });
        self
    }
}
