//! Prices: 10 to the power of an even draw between 0 and 6, in cents.
//!
//! Made of additions and multiplications alone, which give the same result on every machine; `powf` does not.

use crate::nexmark::random::Draw;

/// Pieces that the powers from 0 to 6 are cut into.
const PIECES: usize = 1024;
/// 10 to the power of 6 / 1024.
const PIECE: f64 = 1.013_583_133_334_065_8;
/// The natural logarithm of [`PIECE`].
const LN_PIECE: f64 = 0.013_491_709_529_261_986;

/// Turns draws into prices.
#[derive(Debug)]
pub struct Prices {
    /// The price in cents at the start of each piece.
    starts: Box<[f64; PIECES]>,
}

impl Prices {
    pub fn new() -> Self {
        let mut starts = Box::new([100.0; PIECES]);
        for piece in 1..PIECES {
            starts[piece] = starts[piece - 1] * PIECE;
        }
        Prices { starts }
    }

    /// A price, 100 to 100,000,000 cents.
    #[inline]
    pub fn of(&self, draw: Draw) -> i64 {
        let place = draw.unit() * PIECES as f64;
        let piece = place as usize;
        // The exponential function near 0, exact to 4e-12.
        let rest = (place - piece as f64) * LN_PIECE;
        let factor = 1.0 + rest * (1.0 + rest / 2.0 * (1.0 + rest / 3.0 * (1.0 + rest / 4.0)));
        (self.starts[piece % PIECES] * factor + 0.5) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nexmark::random::{Draws, Purpose};

    #[test]
    fn prices_are_the_powers_of_ten() {
        let (prices, draws) = (Prices::new(), Draws::new(7, Purpose::BidPrice));
        for event in 0..100_000 {
            let exact = 10f64.powf(draws.at(event).unit() * 6.0) * 100.0;
            let price = prices.of(draws.at(event)) as f64;
            assert!((price - exact).abs() <= 0.501, "{price}, not {exact}");
        }
    }
}
