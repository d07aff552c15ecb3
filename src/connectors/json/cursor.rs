//! A strict reader of the JSON text of one record: the grammar is here, the meaning of values is not.

/// Arrays and objects inside each other, the record itself included.
pub(crate) const NESTING_MAX: usize = 128;

/// Stands somewhere in a record's text.
pub(crate) struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

/// The text is not JSON: what should have been where.
#[derive(Debug, PartialEq)]
pub(crate) struct Syntax {
    pub(crate) at: usize,
    pub(crate) expected: &'static str,
}

/// What stands between the quotes of a string; its escapes are checked.
#[derive(Clone, Copy)]
pub(crate) struct Quoted<'a> {
    raw: &'a [u8],
    escaped: bool,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Cursor { text, at: 0 }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// What is still ahead.
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.text[self.at..]
    }

    /// Goes over bytes that [`Cursor::rest`] was seen to start with.
    pub(crate) fn advance(&mut self, bytes: usize) {
        self.at += bytes;
    }

    #[inline]
    pub(crate) fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.peek() {
            self.at += 1;
        }
    }

    /// Goes over `byte` if it is next.
    #[inline]
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let next = self.peek() == Some(byte);
        self.at += next as usize;
        next
    }

    #[inline]
    pub(crate) fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), Syntax> {
        if self.eat(byte) { Ok(()) } else { Err(self.syntax(expected)) }
    }

    #[cold]
    pub(crate) fn syntax(&self, expected: &'static str) -> Syntax {
        Syntax { at: self.at, expected }
    }

    /// Goes over `null`, `true` or `false`.
    #[inline]
    pub(crate) fn word(&mut self, word: &'static str) -> Result<(), Syntax> {
        if !self.rest().starts_with(word.as_bytes()) {
            return Err(self.syntax("a value"));
        }
        self.at += word.len();
        Ok(())
    }

    /// Goes over a string, its opening quote included.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Quoted<'a>, Syntax> {
        self.expect(b'"', "a string")?;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at = special(self.text, self.at);
            match self.peek() {
                Some(b'"') => {
                    let raw = &self.text[start..self.at];
                    self.at += 1;
                    return Ok(Quoted { raw, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.syntax("an escape in place of a control character")),
                None => return Err(self.syntax("the end of a string")),
            }
        }
    }

    /// Goes over an escape: `\n`, `\u00e9`, or a pair of surrogates.
    fn escape(&mut self) -> Result<(), Syntax> {
        match self.text.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => match hex4(&self.text[self.at + 2..]) {
                Some(0xD800..=0xDBFF) => {
                    let low = &self.text[self.at + 6..];
                    let paired = low.starts_with(b"\\u") && matches!(hex4(&low[2..]), Some(0xDC00..=0xDFFF));
                    if !paired {
                        return Err(self.syntax("a pair of surrogates"));
                    }
                    self.at += 12;
                    Ok(())
                }
                Some(0xDC00..=0xDFFF) => Err(self.syntax("a pair of surrogates")),
                Some(_) => {
                    self.at += 6;
                    Ok(())
                }
                None => Err(self.syntax("an escape of four hexadecimal digits")),
            },
            _ => Err(self.syntax("an escape")),
        }
    }

    /// Goes over a number.
    #[inline]
    pub(crate) fn number(&mut self) -> Result<&'a [u8], Syntax> {
        let start = self.at;
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    /// Goes over a number that is an integer of few digits, written without point and exponent; stays where it is before any other.
    #[inline]
    pub(crate) fn integer(&mut self) -> Option<i64> {
        let negative = self.peek() == Some(b'-');
        let digits = &self.rest()[negative as usize..];
        let mut value = 0;
        let mut count = 0;
        // Eighteen digits always fit.
        for byte in digits.iter().take(18) {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            value = value * 10 + digit as i64;
            count += 1;
        }
        let leading_zero = count > 1 && digits[0] == b'0';
        if count == 0 || leading_zero || matches!(digits.get(count), Some(b'.' | b'e' | b'E' | b'0'..=b'9')) {
            return None;
        }
        self.at += negative as usize + count;
        Some(if negative { -value } else { value })
    }

    #[inline]
    fn digits(&mut self) -> Result<(), Syntax> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(self.syntax("a digit")) }
    }

    /// Goes over any value and gives its text; `depth` is how many arrays and objects it is in.
    pub(crate) fn value(&mut self, depth: usize) -> Result<&'a [u8], Syntax> {
        let start = self.at;
        match self.peek() {
            Some(b'"') => drop(self.string()?),
            Some(b'-' | b'0'..=b'9') => drop(self.number()?),
            Some(b'n') => self.word("null")?,
            Some(b't') => self.word("true")?,
            Some(b'f') => self.word("false")?,
            Some(b'{') => self.members(depth)?,
            Some(b'[') => self.elements(depth, |cursor| cursor.value(depth + 1).map(drop))?,
            _ => return Err(self.syntax("a value")),
        }
        Ok(&self.text[start..self.at])
    }

    /// Goes over an array; `each` goes over an element.
    pub(crate) fn elements<E: From<Syntax>>(&mut self, depth: usize, mut each: impl FnMut(&mut Self) -> Result<(), E>) -> Result<(), E> {
        self.open(depth)?;
        if self.eat(b']') {
            return Ok(());
        }
        loop {
            each(self)?;
            self.skip_space();
            if !self.eat(b',') {
                return Ok(self.expect(b']', "',' or ']'")?);
            }
            self.skip_space();
        }
    }

    fn members(&mut self, depth: usize) -> Result<(), Syntax> {
        self.open(depth)?;
        if self.eat(b'}') {
            return Ok(());
        }
        loop {
            self.string()?;
            self.skip_space();
            self.expect(b':', "':'")?;
            self.skip_space();
            self.value(depth + 1)?;
            self.skip_space();
            if !self.eat(b',') {
                return self.expect(b'}', "',' or '}'");
            }
            self.skip_space();
        }
    }

    /// Goes over the bracket that opens an array or object.
    fn open(&mut self, depth: usize) -> Result<(), Syntax> {
        if depth >= NESTING_MAX {
            return Err(self.syntax("less nesting"));
        }
        self.at += 1;
        self.skip_space();
        Ok(())
    }
}

impl<'a> Quoted<'a> {
    pub(crate) fn is_escaped(self) -> bool {
        self.escaped
    }

    /// The characters that are meant; `scratch` holds them where the text has escapes.
    #[inline]
    pub(crate) fn content<'b>(self, scratch: &'b mut Vec<u8>) -> &'b [u8]
    where
        'a: 'b,
    {
        if !self.escaped {
            return self.raw;
        }
        scratch.clear();
        self.unescape(scratch);
        scratch
    }

    fn unescape(self, out: &mut Vec<u8>) {
        let mut rest = self.raw;
        while let Some(at) = memchr::memchr(b'\\', rest) {
            out.extend_from_slice(&rest[..at]);
            let (character, length) = match rest[at + 1] {
                b'b' => ('\u{8}', 2),
                b'f' => ('\u{c}', 2),
                b'n' => ('\n', 2),
                b'r' => ('\r', 2),
                b't' => ('\t', 2),
                b'u' => unicode(&rest[at..]),
                byte => (char::from(byte), 2),
            };
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            rest = &rest[at + length..];
        }
        out.extend_from_slice(rest);
    }
}

/// The character of a `\u` escape that [`Cursor::escape`] accepted, and the bytes of the escape.
fn unicode(escape: &[u8]) -> (char, usize) {
    let high = hex4(&escape[2..]).expect("checked by Cursor::escape");
    match char::from_u32(high) {
        Some(character) => (character, 6),
        None => {
            let low = hex4(&escape[8..]).expect("checked by Cursor::escape");
            let scalar = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
            (char::from_u32(scalar).expect("a pair of surrogates is a character"), 12)
        }
    }
}

fn hex4(text: &[u8]) -> Option<u32> {
    let digits = text.first_chunk::<4>()?;
    digits.iter().try_fold(0, |value, digit| Some(value << 4 | char::from(*digit).to_digit(16)?))
}

/// The first quote, backslash or control character from `at` on: eight bytes at a time where short strings end, then 32 at a time
/// in a form that compilers make vector instructions of, then eight again.
#[inline]
fn special(text: &[u8], mut at: usize) -> usize {
    for _ in 0..3 {
        let Some(chunk) = text.get(at..).and_then(|rest| rest.first_chunk::<8>()) else { break };
        if let Some(hit) = special_of_eight(chunk) {
            return at + hit;
        }
        at += 8;
    }
    special_behind(text, at)
}

fn special_behind(text: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = text.get(at..).and_then(|rest| rest.first_chunk::<32>()) {
        let hit = chunk.iter().fold(false, |hit, byte| hit | (*byte == b'"') | (*byte == b'\\') | (*byte < 0x20));
        if hit {
            break;
        }
        at += 32;
    }
    while let Some(chunk) = text.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        if let Some(hit) = special_of_eight(chunk) {
            return at + hit;
        }
        at += 8;
    }
    while at < text.len() && !matches!(text[at], b'"' | b'\\' | 0..=0x1f) {
        at += 1;
    }
    at
}

#[inline]
fn special_of_eight(chunk: &[u8; 8]) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHS: u64 = ONES << 7;
    // In each term the high bit of the first byte that matches is set; bytes behind it may be wrong, and are not looked at.
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    let word = u64::from_le_bytes(*chunk);
    let quote = zero(word ^ (ONES * b'"' as u64));
    let backslash = zero(word ^ (ONES * b'\\' as u64));
    let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
    let hits = quote | backslash | control;
    (hits != 0).then(|| (hits.trailing_zeros() / 8) as usize)
}
