use filegrid::store::log::RecordKind;
use filegrid_journal::codec::{
    BATCH_HEADER_BYTES, BatchHeader, Damage, Place, RECORD_HEADER_BYTES, footprint, read_record,
    record_header, records, verify_record,
};
use filegrid_tree::{Change, Row};

const KINDS: [RecordKind; 4] = [
    RecordKind::Change,
    RecordKind::Blob,
    RecordKind::MovedBlob,
    RecordKind::Partial,
];

use super::Input;

/// A record as it is written.
#[derive(Debug, PartialEq)]
struct Written {
    kind: RecordKind,
    generation: u64,
    sequence: u64,
    payload: Vec<u8>,
}

/// Bytes of a segment. Whatever they are, nothing beyond them is read and what is read is what they say; what is
/// written is read again; and a bit that flips in a batch is noticed.
pub fn log(data: &[u8]) {
    batch_header(data);
    record(data);
    rows(data);
    written(data);
}

fn batch_header(data: &[u8]) {
    let Some(header) = BatchHeader::decode(data) else {
        return;
    };
    assert!(data.len() >= BATCH_HEADER_BYTES && header.length as usize >= BATCH_HEADER_BYTES);
    let length = header.length as usize;
    assert!(
        !header.matches(&data[..data.len().min(length - 1)]),
        "a batch that is cut off"
    );
    let mut again = data[..data.len().min(length)].to_vec();
    let crc = header.seal(&mut again);
    assert_eq!(BatchHeader::decode(&again), Some(BatchHeader { crc, ..header }));
    if again.len() == length {
        let sealed = BatchHeader { crc, ..header };
        assert!(sealed.matches(&again));
        let mut end = BATCH_HEADER_BYTES;
        for record in records::<RecordKind>(&again) {
            let Ok((at, record)) = record else { break };
            assert_eq!(at as usize, end, "records follow each other");
            end += footprint(record.payload.len());
        }
    }
}

fn record(data: &[u8]) {
    // Nobody guesses a CRC32: the sum that is asked for is put in, so that what lies behind it is reached too.
    let mut data = data.to_vec();
    if let Err(Damage::Sum) = read_record::<RecordKind>(&data) {
        let length: [u8; 4] = data[..4].try_into().unwrap();
        let end = RECORD_HEADER_BYTES + u32::from_le_bytes(length) as usize;
        let sum = crc32fast::hash(&data[8..end]);
        data[4..8].copy_from_slice(&sum.to_le_bytes());
    }
    let Ok((record, length)) = read_record::<RecordKind>(&data) else {
        return;
    };
    let end = RECORD_HEADER_BYTES + record.payload.len();
    assert_eq!(record.payload, &data[RECORD_HEADER_BYTES..end]);
    assert_eq!(length, end.next_multiple_of(8));
    let place = Place {
        segment: 1,
        generation: record.generation,
        offset: 0,
        length: u32::try_from(record.payload.len()).unwrap(),
    };
    assert_eq!(verify_record(&data, &place, record.kind), Ok(record.payload));
    let other = Place {
        generation: record.generation ^ 1,
        ..place
    };
    assert_eq!(verify_record(&data, &other, record.kind), Err(Damage::Other));
    assert_eq!(read_record::<RecordKind>(&data[..end - 1]), Err(Damage::Short));
}

/// Archives of changes and rows are checked before they are looked at.
fn rows(data: &[u8]) {
    if let Ok(change) = Change::decode(data) {
        let encoded = change.encode();
        assert_eq!(Change::decode(&encoded), Ok(change.clone()));
        assert!(encoded.len() <= change.weight(), "a change outgrows its estimate");
    }
    if let Ok(row) = Row::decode(data) {
        assert_eq!(Row::decode(&row.encode()), Ok(row));
    }
}

/// Writes a batch the way the log does, and reads it.
fn written(data: &[u8]) {
    let mut input = Input(data);
    let header = BatchHeader {
        generation: input.number(),
        offset: u32::try_from(input.number() >> 32).unwrap() & !4095,
        length: 0,
        records: 0,
        previous: 7,
        mark: input.number(),
        base: input.number(),
        crc: 0,
    };
    let flipped = input.number();
    let mut expected = Vec::new();
    for _ in 0..input.byte() % 6 {
        let about = input.byte();
        expected.push(Written {
            kind: KINDS[usize::from(about % 4)],
            generation: header.generation,
            sequence: input.number(),
            payload: input.take(usize::from(about)).to_vec(),
        });
    }
    let mut batch = vec![0; BATCH_HEADER_BYTES];
    for record in &expected {
        let start = batch.len();
        let (front, back) = record.payload.split_at(record.payload.len() / 2);
        batch.extend_from_slice(&record_header(
            record.kind,
            record.generation,
            record.sequence,
            &[front, back],
        ));
        batch.extend_from_slice(&record.payload);
        batch.resize(start + footprint(record.payload.len()), 0);
    }
    let header = BatchHeader {
        length: u32::try_from(batch.len()).unwrap(),
        records: u32::try_from(expected.len()).unwrap(),
        ..header
    };
    let crc = header.seal(&mut batch);
    assert!(intact(&batch));
    assert_eq!(BatchHeader::decode(&batch), Some(BatchHeader { crc, ..header }));
    let found: Vec<Written> = records::<RecordKind>(&batch)
        .map(|record| {
            let (_, record) = record.unwrap();
            Written {
                kind: record.kind,
                generation: record.generation,
                sequence: record.sequence,
                payload: record.payload.to_vec(),
            }
        })
        .collect();
    assert_eq!(found, expected);

    let bit = flipped % (batch.len() as u64 * 8);
    batch[usize::try_from(bit / 8).unwrap()] ^= 1 << (bit % 8);
    assert!(!intact(&batch), "bit {bit} flipped unnoticed");
}

/// Whether recovery would take these bytes for a batch.
fn intact(batch: &[u8]) -> bool {
    BatchHeader::decode(batch).is_some_and(|header| {
        let bytes = batch.get(..header.length as usize);
        bytes.is_some_and(|bytes| header.matches(bytes))
    })
}
