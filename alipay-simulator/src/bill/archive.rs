//! A zip archive as Alipay makes them: names in GBK, which nothing in it says.

use std::io::Write as _;

use encoding_rs::GBK;
use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

const LOCAL_SIGNATURE: u32 = 0x0403_4b50;
const CENTRAL_SIGNATURE: u32 = 0x0201_4b50;
const END_SIGNATURE: u32 = 0x0605_4b50;
/// The version that can read it: 2.0.
const VERSION: u16 = 20;
const DEFLATED: u16 = 8;
/// 1980-01-01, the oldest there is.
const DATE: u16 = 0x21;

/// The archive of some files, in this order.
pub(super) fn zip(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = Vec::new();
    let mut directory = Vec::new();
    for (name, content) in files {
        let offset = size(archive.len());
        let name = GBK.encode(name).0;
        let packed = deflate(content);
        let description = describe(&name, content, &packed);
        archive.extend_from_slice(&LOCAL_SIGNATURE.to_le_bytes());
        archive.extend_from_slice(&description);
        archive.extend_from_slice(&name);
        archive.extend_from_slice(&packed);
        directory.extend_from_slice(&CENTRAL_SIGNATURE.to_le_bytes());
        directory.extend_from_slice(&VERSION.to_le_bytes());
        directory.extend_from_slice(&description);
        // No comment, one disk, no attributes.
        directory.extend_from_slice(&[0; 10]);
        directory.extend_from_slice(&offset.to_le_bytes());
        directory.extend_from_slice(&name);
    }
    let count = u16::try_from(files.len()).expect("two files");
    let (start, length) = (size(archive.len()), size(directory.len()));
    archive.append(&mut directory);
    archive.extend_from_slice(&END_SIGNATURE.to_le_bytes());
    archive.extend_from_slice(&[0; 4]);
    archive.extend_from_slice(&count.to_le_bytes());
    archive.extend_from_slice(&count.to_le_bytes());
    archive.extend_from_slice(&length.to_le_bytes());
    archive.extend_from_slice(&start.to_le_bytes());
    archive.extend_from_slice(&[0; 2]);
    archive
}

/// What both directories say about a file.
fn describe(name: &[u8], content: &[u8], packed: &[u8]) -> Vec<u8> {
    let mut crc = Crc::new();
    crc.update(content);
    let mut description = Vec::new();
    for number in [VERSION, 0, DEFLATED, 0, DATE] {
        description.extend_from_slice(&number.to_le_bytes());
    }
    for number in [crc.sum(), size(packed.len()), size(content.len())] {
        description.extend_from_slice(&number.to_le_bytes());
    }
    let name_length = u16::try_from(name.len()).expect("a short name");
    description.extend_from_slice(&name_length.to_le_bytes());
    description.extend_from_slice(&[0; 2]);
    description
}

fn deflate(content: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    let packed = encoder.write_all(content).and_then(|()| encoder.finish());
    packed.expect("a Vec takes everything")
}

fn size(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("less than four gigabytes")
}
