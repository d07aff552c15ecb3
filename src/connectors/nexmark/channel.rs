//! The channels that bids come through: four that are hot, and ten thousand others, each with its URL.

use crate::nexmark::random::{Draw, Draws, Purpose};
use crate::nexmark::text::letter;

/// The hot channels.
const HOT: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];
/// How many others there are.
const OTHERS: usize = 10_000;
/// Bids through other channels: one in so many.
const COLD: u32 = 2;
/// Channels whose URL does not name them: one in so many.
const NAMELESS: u32 = 10;

/// Bytes that the longest channel has at most.
pub const CHANNEL_BYTES_MAX: usize = 16;
/// Bytes that the longest URL has at most.
pub const URL_BYTES_MAX: usize = 80;

/// Text of bounded length, in place.
#[derive(Clone, Copy, Debug)]
pub struct Short<const N: usize> {
    pub bytes: [u8; N],
    pub length: u8,
}

impl<const N: usize> Short<N> {
    fn new(text: &str) -> Self {
        let mut bytes = [0; N];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Short { bytes, length: text.len() as u8 }
    }
}

/// All channels, the hot ones first.
#[derive(Debug)]
pub struct Channels {
    names: Vec<Short<CHANNEL_BYTES_MAX>>,
    urls: Vec<Short<URL_BYTES_MAX>>,
}

impl Channels {
    pub fn new(seed: u64) -> Self {
        let draws = Draws::new(seed, Purpose::Urls);
        let mut names: Vec<_> = HOT.into_iter().map(Short::new).collect();
        let mut urls: Vec<_> = (0..HOT.len()).map(|channel| Short::new(&base_url(draws, channel as u64))).collect();
        for other in 0..OTHERS {
            let number = (HOT.len() + other) as u64;
            let mut url = base_url(draws, number);
            if !draws.at(number * DRAWS).one_in(NAMELESS) {
                // As the original has it, the number with its bits in the other direction.
                let id = (other as u32).reverse_bits() as i32;
                url.push_str(&format!("&channel_id={}", id.unsigned_abs()));
            }
            names.push(Short::new(&format!("channel-{other}")));
            urls.push(Short::new(&url));
        }
        Channels { names, urls }
    }

    /// The number of a bid's channel.
    #[inline]
    pub fn of_bid(draw: Draw) -> usize {
        match draw.one_in(COLD) {
            true => HOT.len() + draw.below(OTHERS as u64) as usize,
            false => draw.below(HOT.len() as u64) as usize,
        }
    }

    /// Its name.
    #[inline]
    pub fn name(&self, channel: usize) -> &Short<CHANNEL_BYTES_MAX> {
        &self.names[channel]
    }

    /// Its URL.
    #[inline]
    pub fn url(&self, channel: usize) -> &Short<URL_BYTES_MAX> {
        &self.urls[channel]
    }
}

/// Draws that the URL of one channel takes at most.
const DRAWS: u64 = 32;

/// The URL of an item, in a directory of the channel's own.
fn base_url(draws: Draws, channel: u64) -> String {
    let mut url = String::from("https://www.nexmark.com/");
    let mut place = channel * DRAWS;
    let mut draw = || {
        place += 1;
        draws.at(place)
    };
    for _ in 0..3 {
        for _ in 0..3 + draw().below(2) {
            let draw = draw();
            url.push(if draw.one_in(13) { '_' } else { letter(draw) as char });
        }
        url.push('/');
    }
    url.push_str("item.htm?query=1");
    url
}
