//! What two peers said to each other, and in which order.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Whoever says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// The one that has connected.
    Client,
    /// The one that was connected to.
    Server,
}

/// What one of the two said until the other one answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Who.
    pub speaker: Speaker,
    /// What; never empty.
    pub bytes: Vec<u8>,
}

/// One connection from its beginning to its end, with facts about it for people.
///
/// As a file: a line `name: value` for each fact, an empty line, then the records: `C` or `S` for the speaker, the
/// length of the bytes as a 32-bit number, most significant byte first, and the bytes. Neighbours have different
/// speakers.
///
/// ```
/// use nbd_testkit::{Recording, Speaker};
///
/// let mut recording = Recording::default();
/// recording.fact("name", "a greeting");
/// recording.note(Speaker::Server, b"hel");
/// recording.note(Speaker::Server, b"lo");
/// recording.note(Speaker::Client, b"hi");
/// assert_eq!(recording.to_bytes(), b"name: a greeting\n\nS\0\0\0\x05helloC\0\0\0\x02hi");
/// assert_eq!(recording.said(Speaker::Server), b"hello");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recording {
    facts: Vec<(String, String)>,
    records: Vec<Record>,
}

impl Recording {
    /// Adds a fact. Line feeds become spaces.
    ///
    /// # Panics
    /// If the name is empty, or has a colon or a line feed in it.
    pub fn fact(&mut self, name: &str, value: &str) {
        assert!(!name.is_empty() && !name.contains([':', '\n']), "a fact cannot be called {name:?}");
        self.facts.push((name.to_owned(), value.trim_end().replace('\n', " ")));
    }

    /// The first fact of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.facts.iter().find(|(known, _)| known == name).map(|(_, value)| &value[..])
    }

    /// Adds what somebody said.
    pub fn note(&mut self, speaker: Speaker, bytes: &[u8]) {
        match self.records.last_mut() {
            Some(last) if last.speaker == speaker => last.bytes.extend_from_slice(bytes),
            _ if bytes.is_empty() => {}
            _ => self.records.push(Record { speaker, bytes: bytes.to_owned() }),
        }
    }

    /// Who said what, in order.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// All that one of them said.
    pub fn said(&self, speaker: Speaker) -> Vec<u8> {
        let of_speaker = self.records.iter().filter(|record| record.speaker == speaker);
        of_speaker.flat_map(|record| &record.bytes).copied().collect()
    }

    /// The contents of the file.
    ///
    /// # Panics
    /// If somebody said 4 GiB or more at once.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut head = String::new();
        for (name, value) in &self.facts {
            writeln!(head, "{name}: {value}").expect("a String takes everything");
        }
        let mut bytes = (head + "\n").into_bytes();
        for record in &self.records {
            bytes.push(match record.speaker {
                Speaker::Client => b'C',
                Speaker::Server => b'S',
            });
            let length = u32::try_from(record.bytes.len()).expect("less than 4 GiB at once");
            bytes.extend(length.to_be_bytes());
            bytes.extend(&record.bytes);
        }
        bytes
    }

    /// The recording that a file holds; `Err` says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut recording = Self::default();
        let mut rest = bytes;
        loop {
            let end = rest.iter().position(|byte| *byte == b'\n').ok_or("the head has no end")?;
            let line = std::str::from_utf8(&rest[..end]).map_err(|_| "the head is not UTF-8")?;
            rest = &rest[end + 1..];
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(": ").ok_or_else(|| format!("{line:?} is not `name: value`"))?;
            recording.facts.push((name.to_owned(), value.to_owned()));
        }
        while let Some((&who, behind)) = rest.split_first() {
            let speaker = match who {
                b'C' => Speaker::Client,
                b'S' => Speaker::Server,
                _ => return Err(format!("{who:#04x} is neither C nor S")),
            };
            let (length, behind) = behind.split_first_chunk().ok_or("a length is cut short")?;
            let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|error| error.to_string())?;
            let (said, behind) = behind.split_at_checked(length).ok_or("a record is cut short")?;
            if said.is_empty() || recording.records.last().is_some_and(|last| last.speaker == speaker) {
                return Err("a record that is empty, or does not end the one before".to_owned());
            }
            recording.note(speaker, said);
            rest = behind;
        }
        Ok(recording)
    }

    /// Reads a file.
    ///
    /// # Panics
    /// If it cannot be read, or is no recording.
    pub fn read(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
        Self::parse(&bytes).unwrap_or_else(|what| panic!("{}: {what}", path.display()))
    }

    /// Reads all files of a directory that end in `.rec`, in the order of their names, which come with them.
    ///
    /// # Panics
    /// If one cannot be read, or is no recording.
    pub fn read_all(directory: &Path) -> Vec<(String, Self)> {
        let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("read {}: {error}", directory.display()));
        let paths = entries.map(|entry| entry.expect("an entry of a directory").path());
        let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|end| end == "rec")).collect();
        paths.sort();
        let name = |path: &Path| path.file_stem().expect("a file's name").to_string_lossy().into_owned();
        paths.iter().map(|path| (name(path), Self::read(path))).collect()
    }

    /// Writes a file.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, path: &Path) {
        fs::write(path, self.to_bytes()).unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
    }
}

#[cfg(test)]
mod tests {
    use super::{Recording, Speaker};

    fn recording() -> Recording {
        let mut recording = Recording::default();
        recording.fact("name", "both\nspeak: twice");
        recording.note(Speaker::Server, b"");
        for said in [b"a\n\nb".as_slice(), b"", b"c"] {
            recording.note(Speaker::Server, said);
        }
        recording.note(Speaker::Client, &[0; 300]);
        recording.note(Speaker::Server, b"d");
        recording
    }

    #[test]
    fn what_was_written_is_read_again() {
        let recording = recording();
        assert_eq!(Recording::parse(&recording.to_bytes()), Ok(recording.clone()));
        assert_eq!((recording.get("name"), recording.get("other")), (Some("both speak: twice"), None));
        assert_eq!((recording.records().len(), recording.said(Speaker::Server)), (3, b"a\n\nbcd".to_vec()));
        assert_eq!(recording.said(Speaker::Client), [0; 300]);
    }

    #[test]
    fn a_file_that_ends_within_a_record_is_none() {
        let recording = recording();
        let whole = recording.to_bytes();
        let mut ends = vec![0; 0];
        for end in 0..=whole.len() {
            if Recording::parse(&whole[..end]).is_ok() {
                ends.push(end);
            }
        }
        // Behind the head, and behind each record.
        let head = b"name: both speak: twice\n\n".len();
        assert_eq!(ends, [head, head + 10, head + 10 + 305, head + 10 + 305 + 6]);
    }

    #[test]
    fn strange_files_are_refused() {
        for file in
            [b"x\n\n".as_slice(), b"\nX\0\0\0\x01x", b"\nC\0\0\0\0", b"\nC\0\0\0\x01xC\0\0\0\x01x", b"\xff: x\n\n"]
        {
            assert!(Recording::parse(file).is_err(), "{file:?}");
        }
    }
}
