//! What machines get besides an archive, each from the plan alone: seeds for cloud-init and Ignition, a script for iPXE, XML for
//! libvirt.

pub mod cloud_init;
pub mod ignition;
pub mod ipxe;
pub mod libvirt;
