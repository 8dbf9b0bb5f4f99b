//! The state machine.

use memchr::arch::all::packedpair::HeuristicFrequencyRank;
use memchr::memmem::{Finder, FinderBuilder};

use super::MultipartError;
use super::head::{self, PartHead};
use crate::limits::{FORM_AROUND_MAX_BYTES, PART_HEAD_MAX_BYTES, PART_PADDING_MAX_BYTES};

/// What stands at the front of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Too little to tell: come again with more.
    NeedMore,
    /// Bytes that mean nothing.
    Skip {
        /// How many.
        consumed: usize,
    },
    /// A part begins.
    PartStart {
        /// Bytes of its head.
        consumed: usize,
        /// What they say.
        head: PartHead,
    },
    /// Payload: the first bytes of the input.
    Data {
        /// How many, at least one.
        consumed: usize,
    },
    /// The part ends.
    PartEnd {
        /// Bytes of the delimiter.
        consumed: usize,
    },
    /// The last part has ended before; what follows is epilogue.
    End {
        /// All of the input.
        consumed: usize,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the first boundary. `line_start`: the input begins a line.
    Preamble {
        line_start: bool,
    },
    /// Behind a boundary, on its line.
    AfterBoundary,
    Head,
    Payload,
    Epilogue,
}

/// How often a byte stands in payloads. The search stops wherever the two rarest bytes of the delimiter are: by default
/// these are CR and LF, so at every line of a text.
struct Rarity;

impl HeuristicFrequencyRank for Rarity {
    fn rank(&self, byte: u8) -> u8 {
        match byte {
            b'\r' | b'\n' | b'-' => 255,
            b'a'..=b'z' => 200,
            b'0'..=b'9' => 150,
            _ => 100,
        }
    }
}

/// Splits one body.
pub struct Splitter {
    place: Place,
    /// Bytes before the first and behind the last boundary so far.
    around: usize,
    /// CR LF `--` boundary.
    delimiter: Finder<'static>,
}

impl Splitter {
    /// For a boundary that [`super::boundary_of`] has accepted.
    #[must_use]
    pub fn new(boundary: &str) -> Self {
        let delimiter = format!("\r\n--{boundary}").into_bytes();
        Self {
            place: Place::Preamble { line_start: true },
            around: 0,
            delimiter: FinderBuilder::new().build_forward_with_ranker_owned(Rarity, delimiter),
        }
    }

    /// Says what stands at the front of `input`, which begins behind what was consumed before.
    ///
    /// # Errors
    ///
    /// If the body is malformed; nothing more can be read of it then.
    pub fn step(&mut self, input: &[u8]) -> Result<Step, MultipartError> {
        match self.place {
            Place::Preamble { line_start } => {
                let step = self.preamble(input, line_start);
                self.outside(step)
            }
            Place::AfterBoundary => self.after_boundary(input),
            Place::Head => self.head(input),
            Place::Payload => Ok(self.payload(input)),
            Place::Epilogue => self.outside(Step::End {
                consumed: input.len(),
            }),
        }
    }

    /// Says whether the input may end here.
    ///
    /// # Errors
    ///
    /// [`MultipartError::CutOff`] before the final boundary.
    pub fn finish(&self) -> Result<(), MultipartError> {
        if self.place == Place::Epilogue {
            Ok(())
        } else {
            Err(MultipartError::CutOff)
        }
    }

    /// Longest tail that [`Splitter::step`] leaves unconsumed in payload.
    #[must_use]
    pub fn tail_max_bytes(&self) -> usize {
        self.delimiter.needle().len()
    }

    /// Counts what means nothing.
    fn outside(&mut self, step: Step) -> Result<Step, MultipartError> {
        if let Step::Skip { consumed } | Step::End { consumed } = step {
            self.around = self.around.saturating_add(consumed);
        }
        if self.around > FORM_AROUND_MAX_BYTES {
            return Err(MultipartError::Around);
        }
        Ok(step)
    }

    fn preamble(&mut self, input: &[u8], line_start: bool) -> Step {
        let delimiter = self.delimiter.needle();
        // The first boundary may stand at the very beginning, without a line break before it.
        let dashes = delimiter.get(2..).unwrap_or_default();
        if line_start {
            if input.starts_with(dashes) {
                self.place = Place::AfterBoundary;
                return Step::Skip {
                    consumed: dashes.len(),
                };
            }
            if dashes.starts_with(input) {
                return Step::NeedMore;
            }
        }
        self.place = Place::Preamble { line_start: false };
        match self.delimiter.find(input) {
            Some(at) => {
                self.place = Place::AfterBoundary;
                Step::Skip {
                    consumed: at + delimiter.len(),
                }
            }
            None => match input.len() - overlap(input, delimiter) {
                0 => Step::NeedMore,
                consumed => Step::Skip { consumed },
            },
        }
    }

    fn after_boundary(&mut self, input: &[u8]) -> Result<Step, MultipartError> {
        if input.starts_with(b"--") {
            self.place = Place::Epilogue;
            return Ok(Step::Skip { consumed: 2 });
        }
        let padding = input
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count();
        if padding > PART_PADDING_MAX_BYTES {
            return Err(MultipartError::Head);
        }
        match input.get(padding..).unwrap_or_default() {
            [b'\r', b'\n', ..] => {
                self.place = Place::Head;
                Ok(Step::Skip {
                    consumed: padding + 2,
                })
            }
            [] | [b'\r'] => Ok(Step::NeedMore),
            [b'-'] if padding == 0 => Ok(Step::NeedMore),
            _ => Err(MultipartError::Head),
        }
    }

    fn head(&mut self, input: &[u8]) -> Result<Step, MultipartError> {
        if input.starts_with(b"\r\n") {
            return Err(MultipartError::Unnamed);
        }
        let window = input
            .get(..PART_HEAD_MAX_BYTES.min(input.len()))
            .unwrap_or_default();
        match memchr::memmem::find(window, b"\r\n\r\n") {
            Some(end) => {
                let head = head::parse(window.get(..end).unwrap_or_default())?;
                self.place = Place::Payload;
                Ok(Step::PartStart {
                    consumed: end + 4,
                    head,
                })
            }
            None if input.len() >= PART_HEAD_MAX_BYTES => Err(MultipartError::HeadTooLong),
            None => Ok(Step::NeedMore),
        }
    }

    fn payload(&mut self, input: &[u8]) -> Step {
        let delimiter = self.delimiter.needle();
        match self.delimiter.find(input) {
            Some(0) => {
                self.place = Place::AfterBoundary;
                Step::PartEnd {
                    consumed: delimiter.len(),
                }
            }
            Some(consumed) => Step::Data { consumed },
            None => match input.len() - overlap(input, delimiter) {
                0 => Step::NeedMore,
                consumed => Step::Data { consumed },
            },
        }
    }
}

/// Length of the longest tail of `input` that a delimiter may begin with.
fn overlap(input: &[u8], delimiter: &[u8]) -> usize {
    let from = input.len().saturating_sub(delimiter.len().saturating_sub(1));
    let tail = input.get(from..).unwrap_or_default();
    memchr::memchr_iter(b'\r', tail)
        .map(|at| tail.get(at..).unwrap_or_default())
        .find(|rest| delimiter.starts_with(rest))
        .map_or(0, <[u8]>::len)
}
