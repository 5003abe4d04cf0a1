//! The audit log: every metered operation with the clock readings around it.
//!
//! Owns the records in memory and their text form, one a line, which people can read and other
//! programs can check:
//!
//! ```text
//! group 1000 1400                 the group was made between these two readings (nanoseconds)
//! limit 7 2000 2100               so was connection 7's own limit
//! member 7 1 3                    connection 7 lives on core 1 and joined with weight 3
//! op 5000 5200 4096 write 7       connection 7 wrote 4096 bytes between these readings
//! lost 0                          operations that did not fit
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead, Write};
use std::str::Split;

/// Direction of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Read,
    Write,
}

/// One metered operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) before_ns: u64,
    pub(crate) after_ns: u64,
    pub(crate) bytes: u64,
    pub(crate) way: Way,
    pub(crate) connection: u64,
}

/// Something that happened between two clock readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) not_before_ns: u64,
    pub(crate) not_after_ns: u64,
}

/// A connection in the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) core: usize,
    pub(crate) weight: u32,
}

/// Everything a server metered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AuditLog {
    /// When the group was made.
    pub(crate) group: Option<Moment>,
    /// When each connection's own limit was set.
    pub(crate) limits: BTreeMap<u64, Moment>,
    /// Who joined the group.
    pub(crate) members: BTreeMap<u64, Member>,
    pub(crate) records: Vec<Record>,
    /// Operations that did not fit; a log with losses proves nothing.
    pub(crate) lost: u64,
}

impl AuditLog {
    /// Writes the log as text.
    ///
    /// # Errors
    /// What the writer reports.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        if let Some(made) = self.group {
            writeln!(out, "group {} {}", made.not_before_ns, made.not_after_ns)?;
        }
        for (connection, set) in &self.limits {
            writeln!(out, "limit {connection} {} {}", set.not_before_ns, set.not_after_ns)?;
        }
        for (connection, Member { core, weight }) in &self.members {
            writeln!(out, "member {connection} {core} {weight}")?;
        }
        for record in &self.records {
            let Record { before_ns, after_ns, bytes, way, connection } = record;
            writeln!(out, "op {before_ns} {after_ns} {bytes} {way} {connection}")?;
        }
        writeln!(out, "lost {}", self.lost)
    }

    /// Reads a log back.
    ///
    /// # Errors
    /// A line that is not part of the format, or a log without its last line.
    pub(crate) fn read(text: impl BufRead) -> io::Result<Self> {
        let mut log = Self::default();
        let mut complete = false;
        for line in text.lines() {
            let line = line?;
            let known = log.take(&line).ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidData, format!("unknown line {line:?}"))
            })?;
            complete |= known;
        }
        if !complete {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the log is cut short"));
        }
        Ok(log)
    }

    /// Adds one line; true for the last one.
    fn take(&mut self, line: &str) -> Option<bool> {
        let mut fields = line.split(' ');
        let kind = fields.next()?;
        let number = |fields: &mut Split<'_, char>| fields.next()?.parse().ok();
        match kind {
            "group" => {
                let not_before_ns = number(&mut fields)?;
                self.group = Some(Moment { not_before_ns, not_after_ns: number(&mut fields)? });
            }
            "limit" => {
                let connection = number(&mut fields)?;
                let not_before_ns = number(&mut fields)?;
                let set = Moment { not_before_ns, not_after_ns: number(&mut fields)? };
                self.limits.insert(connection, set);
            }
            "member" => {
                let connection = number(&mut fields)?;
                let core = fields.next()?.parse().ok()?;
                let member = Member { core, weight: fields.next()?.parse().ok()? };
                self.members.insert(connection, member);
            }
            "op" => self.records.push(Record {
                before_ns: number(&mut fields)?,
                after_ns: number(&mut fields)?,
                bytes: number(&mut fields)?,
                way: match fields.next()? {
                    "read" => Way::Read,
                    "write" => Way::Write,
                    _ => return None,
                },
                connection: number(&mut fields)?,
            }),
            "lost" => {
                self.lost = number(&mut fields)?;
                return Some(true);
            }
            _ => return None,
        }
        Some(false)
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_reads_back_as_it_was_written() {
        let log = AuditLog {
            group: Some(Moment { not_before_ns: 1, not_after_ns: 2 }),
            limits: BTreeMap::from([(7, Moment { not_before_ns: 3, not_after_ns: 4 })]),
            members: BTreeMap::from([(7, Member { core: 1, weight: 3 })]),
            records: vec![
                Record { before_ns: 5, after_ns: 6, bytes: 9, way: Way::Read, connection: 7 },
                Record { before_ns: 5, after_ns: 6, bytes: 0, way: Way::Write, connection: 8 },
            ],
            lost: 3,
        };
        let mut text = Vec::new();
        log.write(&mut text).unwrap();
        assert_eq!(AuditLog::read(text.as_slice()).unwrap(), log);
    }

    #[test]
    fn a_cut_or_foreign_log_is_an_error() {
        for text in [
            "",
            "op 1 2 3 write 4\n",
            "op 1 2 3 wri\nlost 0\n",
            "member 1 0\nlost 0\n",
            "tea\nlost 0\n",
        ] {
            assert!(AuditLog::read(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}
