"""Hyperparameters of fine-tuning."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FineTuningRecipe:
    """Hyperparameters of fine-tuning.

    Checkpoints and model cards store them by these names.
    """

    learning_rate: float = 3e-4
    """Peak learning rate of AdamW; it decays along a cosine to 0."""
    weight_decay: float = 1e-2
    lora_rate: float = 1e-3
    """Peak learning rate of LoRA adapters."""
    lora_rank: int = 4
    warm_up: int = 10
    """Steps of linear warm-up."""
    clip: float = 1.0
    """Maximum norm of the gradients."""
    batch_size: int = 2
    """Episodes per step."""
    size: int = 192
    """Height and width of crops in pixels, for `lite`."""
    full_size_crop: int = 512
    """The same for full-size models."""
    pool: int = 16
    """Episodes per fold where encoding is slow: their features are computed once and reused."""
    lite_pool: int = 32
    """The same for `lite`: its frozen parts are computed once for each episode."""
    shots: int = 2
    """Maximum number of references per episode."""
    synthetic: float = 0.15
    """Share of episodes from synthetic scenes, against forgetting."""
    zoom: tuple[float, float] = (0.7, 1.5)
    """Range of the random scale of crops."""
    relit: float = 0.15
    """Standard deviation of the logarithms of the random gamma and gain."""
    disguised: float = 0.15
    """Share of episodes with the strong change of appearance that the base model was trained on."""
    folds: int = 2
    """Maximum number of folds."""
    minimum_steps: int = 100
    """Number of steps below which the result says little about fine-tuning.

    The IoU of a dense head on other frames (ISBI 2012, membranes, one annotated frame) was 0.50,
    0.53 and 0.58 after 10, 20 and 60 steps on all frames, which are two thirds of all steps, and
    0.60 after 150 steps with larger crops.
    """
    validations: int = 10
    """Number of validations per run."""
    validation_share: float = 0.25
    """Maximum time of all validations, as a share of the training time."""
    validation_side: int = 512
    """Maximum height and width in pixels of frames for validation; larger ones are cropped."""
    validation_references: int = 4
    """Maximum number of annotated frames that are references in the validation of a fold."""
    exam_effort: float = 0.5
    """Effort of fitting the probes for validation; see `fit_ensemble`."""
    exam_choices: bool = True
    """Calibrate smoothing and threshold for validation."""
    patience: int = 4
    """Validations without improvement after which training stops."""
    gain: float = 0.005
    """Minimum improvement of the IoU for the new model to be kept."""
    keep_base: float = 0.0
    """Share of the base model's weights in the new weights, 0..1."""
    head_rate: float = 2e-3
    """Peak learning rate of a dense head."""
    head_backbone_rate: float = 3e-4
    """Peak learning rate of the backbone below a dense head."""
    head_crop: int = 128
    """Height and width of the crops for a dense head, in pixels."""
    head_batch: int = 3
    """Crops per step of a dense head."""
    head_zoom: tuple[float, float] = (0.6, 1.6)
    """Range of the random scale of crops for a dense head."""
    head_folds: int = 1
    """Maximum number of folds for a dense head; the final head also trains on all frames."""
    head_turns: int = 2
    """Steps of the final head for each step of a fold's head."""
    head_shares: tuple[float, ...] = (0.25, 0.5, 0.8)
    """Shares of a dense head in the logits that are compared; the last is used in training."""
    checkpoint_seconds: float = 30.0
    """Interval between checkpoints."""
    minutes_cpu: float = 3.0
    """Default time on a CPU."""
    minutes_gpu: float = 1.0
    """Default time on a GPU."""


RECIPE = FineTuningRecipe()
