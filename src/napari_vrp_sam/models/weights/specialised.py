"""Models of SAM's architecture that others fine-tuned for microscopy and medicine."""

from __future__ import annotations

from napari_vrp_sam.models.weights.downloads import PublishedFile
from napari_vrp_sam.models.weights.model_spec import PACKAGED, ModelSpec

MICRO_SAM = "Archit et al., Segment Anything for Microscopy, Nature Methods 2025"
BIOIMAGE_IO = "https://uk1s3.embassy.ebi.ac.uk/public-datasets/bioimage.io"
OWNCLOUD = "https://owncloud.gwdg.de/index.php/s"


def _specialised(
    name: str, description: str, url: str, digest: str, licence: str, citation: str
) -> ModelSpec:
    variant = "vit_l" if name.startswith("vit_l") else "vit_b"
    size = 1_249_524_607 if variant == "vit_l" else 375_042_383
    title = f"{name} ({size / 1e6:,.0f} MB)"
    weights = PublishedFile(url, digest, licence, title=title, file_name=f"{name}.pt")
    return ModelSpec(
        name, description, variant, PACKAGED, licence, sam_weights=weights, citation=citation
    )


SPECIALISED: tuple[ModelSpec, ...] = (
    _specialised(
        "vit_b_lm",
        "SAM ViT-B fine-tuned for cells and nuclei in light microscopy; a GPU is recommended.",
        f"{BIOIMAGE_IO}/diplomatic-bug/1.2/files/vit_b.pt",
        "xxh128:fe9252a29f3f4ea53c15a06de471e186",
        "CC-BY-4.0",
        MICRO_SAM,
    ),
    _specialised(
        "vit_l_lm",
        "SAM ViT-L fine-tuned for cells and nuclei in light microscopy; needs a GPU.",
        f"{BIOIMAGE_IO}/idealistic-rat/1.2/files/vit_l.pt",
        "xxh128:017f20677997d628426dec80a8018f9d",
        "CC-BY-4.0",
        MICRO_SAM,
    ),
    _specialised(
        "vit_b_em_organelles",
        "SAM ViT-B fine-tuned for mitochondria and nuclei in electron microscopy; a GPU is "
        "recommended.",
        f"{BIOIMAGE_IO}/noisy-ox/1.2/files/vit_b.pt",
        "xxh128:f3bf2ed83d691456bae2c3f9a05fb438",
        "CC-BY-4.0",
        MICRO_SAM,
    ),
    _specialised(
        "vit_l_em_organelles",
        "SAM ViT-L fine-tuned for mitochondria and nuclei in electron microscopy; needs a GPU.",
        f"{BIOIMAGE_IO}/humorous-crab/1.2/files/vit_l.pt",
        "xxh128:810b084b6e51acdbf760a993d8619f2d",
        "CC-BY-4.0",
        MICRO_SAM,
    ),
    _specialised(
        "vit_b_histopathology",
        "SAM ViT-B fine-tuned for nuclei in histology slides; a GPU is recommended.",
        f"{OWNCLOUD}/sBB4H8CTmIoBZsQ/download",
        "xxh128:ffd1a2cd84570458b257bd95fdd8f974",
        "not stated for the weights (code: MIT)",
        "Griebel et al., Segment Anything for Histopathology, MIDL 2025",
    ),
    _specialised(
        "vit_b_medical_imaging",
        "SAM ViT-B fine-tuned for medical images of many kinds; a GPU is recommended.",
        f"{OWNCLOUD}/f5Ol4FrjPQWfjUF/download",
        "xxh128:40169f1e3c03a4b67bff58249c176d92",
        "not stated",
        "Archit et al., MedicoSAM, IEEE Transactions on Medical Imaging 2025",
    ),
    _specialised(
        "medsam",
        "SAM ViT-B fine-tuned for CT, MRI, ultrasound and endoscopy; a GPU is recommended.",
        "https://zenodo.org/records/10689643/files/medsam_vit_b.pth",
        "md5:3bb6db55bd0c9ca30b61248bca72f8d6",
        "CC-BY-4.0",
        "Ma et al., Segment Anything in Medical Images, Nature Communications 2024",
    ),
)
