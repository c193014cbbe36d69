//! The table of drivers.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use super::driver::Driver;
use super::libvirt::Libvirt;
use super::qemu::Qemu;
use super::record::DriverName;
use crate::bundle::Manifest;
use crate::failure::{Failure, Result};
use crate::values::{ConnectTo, Link};

/// All drivers; the first is the default.
pub static DRIVERS: [&dyn Driver; 2] = [&Qemu, &Libvirt];

/// # Errors
/// `Exit::Wrong`, when no driver has this name; the error lists the drivers.
pub fn named(name: &DriverName) -> Result<&'static dyn Driver> {
    let known = DRIVERS.into_iter().find(|driver| driver.name() == name.as_str());
    known.ok_or_else(|| {
        let names: Vec<_> = DRIVERS.iter().map(|driver| driver.name()).collect();
        Failure::wrong(format!(
            "these VMs were created with the driver {name}; this version of Kiln has {}",
            names.join(", ")
        ))
    })
}

/// The default driver: libvirt where the profile or the command line names one, or a network of one.
pub fn usual(manifest: &Manifest, told: &[ConnectTo]) -> DriverName {
    let is_named = !told.is_empty() || manifest.hosts.iter().any(|host| host.connect.is_some());
    let is_libvirt = is_named || matches!(manifest.machine().link, Link::Network(_));
    let driver = if is_libvirt { &Libvirt as &dyn Driver } else { DRIVERS[0] };
    DriverName::of(driver.name())
}

/// The values of `--driver`.
pub fn parser() -> impl TypedValueParser<Value = DriverName> {
    let values = DRIVERS.iter().map(|driver| PossibleValue::new(driver.name()).help(driver.about()));
    PossibleValuesParser::new(values).try_map(|text| text.parse::<DriverName>())
}
