"""``python -m lib.publish <weights.pt>``: weights that were trained elsewhere become the version that the app serves.

For weights of a federation, say. Nothing compares them with the current ones: score both before.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from monai.bundle import ConfigParser

from lib.bundle import Bundle, find_bundle
from lib.versions import WeightVersions

_APP = Path(__file__).resolve().parents[1]


def publish(weights: Path, bundle: Bundle, versions: WeightVersions) -> int:
    """Serve weights from now on, if the bundle's network takes them.

    Args:
        weights: plain state dict of the network of ``inference.json``.
        bundle: whose network it is.
        versions: where they are kept.

    Returns:
        number of the version.

    Raises:
        InputError: the file is absent or damaged, or holds weights of another network.
    """
    from dualtask.networks import load_weights  # the bundle has been found by now

    config = ConfigParser(ConfigParser.load_config_file(str(bundle.root / "configs" / "inference.json")))
    config["bundle_root"] = str(bundle.root)
    load_weights(config.get_parsed_content("network_def"), str(weights))
    return versions.publish(weights, {"dice": None, "dice_before": None, "taught": [], "source": weights.name})


def main() -> None:
    """Publish a file of weights."""
    parser = argparse.ArgumentParser(prog="python -m lib.publish", description=main.__doc__)
    parser.add_argument("weights", type=Path)
    arguments = parser.parse_args()
    bundle = find_bundle(str(_APP), {})
    from dualtask.errors import print_input_errors_as_one_sentence

    print_input_errors_as_one_sentence()
    versions = WeightVersions(_APP / "model", bundle.root / "models" / "model.pt", bundle.version)
    publish(arguments.weights, bundle, versions)
    print(f"The app serves {versions.name} from now on.")


if __name__ == "__main__":
    main()
