use icecore::key;

use super::*;

fn range(start: &[u8], end: &[u8], limit: i32, reverse: bool) -> ReadRange {
    let (start, end) = (Bytes::copy_from_slice(start), Bytes::copy_from_slice(end));
    ReadRange { start, end, limit, reverse }
}

fn decode(ranges: Vec<ReadRange>) -> Result<Ranges, Refusal> {
    Ranges::decode(SnapshotRead { ranges }.encode_to_vec().into())
}

fn read(kv: &Kv, ranges: Vec<ReadRange>) -> SnapshotReadOutput {
    let answer = decode(ranges).unwrap().read(kv, Reader::Plain, usize::MAX).unwrap().unwrap();
    let whole: Vec<u8> = answer.pieces.iter().flatten().copied().collect();
    assert_eq!(whole.len(), answer.bytes);
    SnapshotReadOutput::decode(&whole[..]).unwrap()
}

fn numbers(output: &SnapshotReadOutput) -> Vec<Vec<u64>> {
    let number = |entry: &KvEntry| u64::from_le_bytes(entry.value[..].try_into().unwrap());
    output.ranges.iter().map(|range| range.values.iter().map(number).collect()).collect()
}

fn five() -> Kv {
    let kv = Kv::builder_in_memory().limits(crate::store_limits()).open().unwrap();
    for number in 1..=5 {
        kv.set(key![number], number).unwrap();
    }
    kv
}

#[test]
fn answers_are_what_a_generic_decoder_reads_and_in_the_order_of_the_request() {
    let (kv, end) = (five(), [0xff]);
    let four = key![4];
    let after_four = [four.encoded(), &[0]].concat();
    let output = read(
        &kv,
        vec![
            range(&[], &end, 2, false),
            range(&[], &end, 2, true),
            range(four.encoded(), &after_four, 1, false),
            range(key![9].encoded(), &[key![9].encoded(), &[0]].concat(), 1, false),
            range(four.encoded(), four.encoded(), 1, false),
            range(&end, &[], 1, false),
            range(four.encoded(), &end, 1_000 - 8, false),
        ],
    );
    let expected: [&[u64]; 7] = [&[1, 2], &[5, 4], &[4], &[], &[], &[], &[4, 5]];
    assert_eq!(numbers(&output), expected);
    assert!(output.read_is_strongly_consistent && !output.read_disabled);
    assert_eq!(output.status, read_status::SUCCESS);
    let entry = &output.ranges[2].values[0];
    let stamp = kv.get(key![4]).unwrap().versionstamp.unwrap();
    assert_eq!((&entry.key[..], &entry.versionstamp[..]), (four.encoded(), &stamp.to_bytes()[..]));
}

#[test]
fn a_large_answer_comes_in_pieces_and_one_that_is_too_large_does_not_come() {
    let kv = five();
    for number in 10..20 {
        kv.set(key![number], vec![1; 60_000]).unwrap();
    }
    let ranges = decode(vec![range(&[], &[0xff], 100, false)]).unwrap();
    let answer = ranges.read(&kv, Reader::Plain, 1 << 20).unwrap().unwrap();
    assert!(answer.pieces.len() >= 5 && answer.pieces.iter().all(|piece| piece.len() < 130_000));
    assert_eq!(ranges.read(&kv, Reader::Plain, 500_000).unwrap(), None);
}

#[test]
fn requests_that_make_no_sense_are_told_so_in_the_words_of_the_reference() {
    let text = |ranges| decode(ranges).unwrap_err().text;
    let one = range(&[1], &[2], 1, false);
    let too_many = "Too many read ranges requested in one read request.";
    assert_eq!(text(vec![one.clone(); 11]), too_many);
    let long = vec![range(&[1; 2_050], &[2], 1, false)];
    assert_eq!(text(long), "A key exceeds the key size limit.");
    let long = vec![range(&[1], &[2; 2_050], 1, false)];
    assert_eq!(text(long), "A key exceeds the key size limit.");
    assert!(decode(vec![range(&[1; 2_049], &[2; 2_049], 1, false)]).is_ok());
    for limit in [0, -1, i32::MIN] {
        let invalid = "The read range limit of the snapshot read request is invalid.";
        assert_eq!(text(vec![range(&[1], &[2], limit, false)]), invalid);
    }
    let large = vec![range(&[1], &[2], 500, false), range(&[1], &[2], 501, false)];
    assert!(text(large).starts_with("The total number of entries requested"));
    let huge = vec![range(&[1], &[2], i32::MAX, false); 10];
    assert!(text(huge).starts_with("The total number of entries requested"));
    let garbage = Ranges::decode(Bytes::from_static(b"\x0a\xff")).unwrap_err();
    assert!(garbage.text.starts_with("Request protobuf is invalid: "), "{}", garbage.text);
}
