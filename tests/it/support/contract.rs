//! What the contract says of itself.

use prost::Message as _;
use shardstream::pb;

/// Every method of the contract, as `package.Service/Method`.
pub fn methods() -> Vec<String> {
    let files = prost_types::FileDescriptorSet::decode(pb::FILE_DESCRIPTOR_SET).expect("ours");
    let mut names = Vec::new();
    for file in files.file {
        for service in &file.service {
            let of = format!("{}.{}", file.package(), service.name());
            names.extend(service.method.iter().map(|method| format!("{of}/{}", method.name())));
        }
    }
    names
}
