//! The columns of a person.

use arrow::array::ArrayRef;
use weir_common::error::Result;

use crate::nexmark::bid::ints;
use crate::nexmark::config::Config;
use crate::nexmark::model::{self, FIRST_PERSON_ID};
use crate::nexmark::random::{Draws, Purpose};
use crate::nexmark::text::{Pool, TextColumn, extra_length};
use crate::nexmark::time::Times;

/// Bytes that a person has on average, and those of them that are numbers.
const BYTES: (u64, u64) = (200, 8);
/// The part of an address before the @ is shorter than this.
const USER_BYTES: u64 = 7;
/// The part behind it, too, without `.com`.
const HOST_BYTES: u64 = 5;

const FIRST_NAMES: [&str; 11] = ["Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"];
const LAST_NAMES: [&str; 9] = ["Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"];
const CITIES: [&str; 10] =
    ["Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland", "Bend", "Redmond", "Seattle", "Kent", "Cheyenne"];
const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];

/// Makes persons.
#[derive(Debug)]
pub struct Persons {
    seed: u64,
    times: Times,
    letters: Pool,
    words: Pool,
}

impl Persons {
    pub fn new(config: &Config) -> Self {
        let seed = config.seed;
        Persons { seed, times: Times::new(config), letters: Pool::letters(seed), words: Pool::words(seed) }
    }

    /// Column `column` of the table, for the persons with these event numbers.
    pub fn column(&self, column: usize, events: &[u64]) -> Result<ArrayRef> {
        let text = |row_bytes| TextColumn::new(events.len(), row_bytes);
        let mut text = match column {
            0 => return Ok(ints(events, |event| (FIRST_PERSON_ID + model::last_person(event)) as i64)),
            1..=5 => text(20),
            6 => return Ok(self.times.column(events)),
            _ => text(BYTES.0 as usize),
        };
        for event in events {
            let event = *event;
            match column {
                1 => text.push(&self.name(event)),
                2 => text.push(&self.email(event)),
                3 => text.push(&[&self.credit_card(event)]),
                4 => text.push(&[self.city(event)]),
                5 => text.push(&[self.state(event)]),
                _ => text.push(&[self.extra(event)]),
            }
        }
        text.finish()
    }

    fn draws(&self, purpose: Purpose) -> Draws {
        Draws::new(self.seed, purpose)
    }

    fn one_of<'a>(&self, purpose: Purpose, event: u64, words: &[&'a str]) -> &'a [u8] {
        words[self.draws(purpose).at(event).below(words.len() as u64) as usize].as_bytes()
    }

    fn name(&self, event: u64) -> [&[u8]; 3] {
        let (first, last) =
            (self.one_of(Purpose::PersonFirstName, event, &FIRST_NAMES), self.one_of(Purpose::PersonLastName, event, &LAST_NAMES));
        [first, b" ", last]
    }

    fn email(&self, event: u64) -> [&[u8]; 4] {
        let user = self.words.short(self.draws(Purpose::PersonUser).at(event), USER_BYTES);
        let host = self.words.short(self.draws(Purpose::PersonHost).at(event), HOST_BYTES);
        [user, b"@", host, b".com"]
    }

    /// Four groups of four digits.
    fn credit_card(&self, event: u64) -> [u8; 19] {
        let mut card = [b' '; 19];
        for group in 0..4 {
            let mut digits = self.draws(Purpose::PersonCard).at(4 * event + group).below(10_000);
            for place in (0..4).rev() {
                card[5 * group as usize + place] = b'0' + (digits % 10) as u8;
                digits /= 10;
            }
        }
        card
    }

    fn city(&self, event: u64) -> &'static [u8] {
        self.one_of(Purpose::PersonCity, event, &CITIES)
    }

    fn state(&self, event: u64) -> &'static [u8] {
        self.one_of(Purpose::PersonState, event, &STATES)
    }

    fn extra(&self, event: u64) -> &[u8] {
        let bytes = |parts: &[&[u8]]| parts.iter().map(|part| part.len()).sum::<usize>();
        let current = bytes(&self.name(event)) + bytes(&self.email(event)) + 19 + self.city(event).len() + self.state(event).len();
        let length = extra_length(self.draws(Purpose::PersonExtraLength).at(event), BYTES.1 + current as u64, BYTES.0);
        self.letters.cut(self.draws(Purpose::PersonExtra).at(event), length)
    }
}
