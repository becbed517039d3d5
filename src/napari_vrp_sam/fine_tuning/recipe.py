"""Every number that a fine-tuning depends on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FineTuningRecipe:
    """How a model learns from few frames without losing what it knew.

    Attributes
    ----------
    learning_rate, weight_decay : float
        Of AdamW; the rate decays along a cosine to 0.
    lora_rate : float
        Learning rate of LoRA's additions.
    lora_rank : int
    warm_up : int
        First steps, along which the rate rises.
    clip : float
        Largest norm of a gradient.
    batch_size : int
        Episodes a step.
    size : int
        Height and width of an episode's crops in pixels.
    full_size_crop : int
        The same for full-size models.
    pool : int
        Episodes of each fold where encoding takes long; they are encoded once and seen again.
    shots : int
        References of an episode, at most: 1 to as many as there are frames.
    synthetic : float
        Share of episodes from synthetic worlds, against forgetting.
    zoom : tuple of float
        Smallest and largest scale at which crops are seen.
    relit : float
        How much the light changes: deviation of the logarithm of gamma and gain.
    disguised : float
        Share of episodes with a change of look as the first training has them.
    folds : int
        Parts that are held out in turn, at most.
    validations : int
        Along a whole run.
    validation_share : float
        Of the time, at most.
    validation_side : int
        Of a held-out frame that is larger, a part of this height and width in pixels counts.
    exam_effort : float
        Of fitting the probes that a held-out part is segmented with; see `fit_ensemble`.
    exam_choices : bool
        Whether smoothing and threshold are chosen there too.
    patience : int
        Validations without a gain after which it ends.
    gain : float
        IoU by which the new model has to be better to be kept.
    keep_base : float
        Share of the old weights in the new ones, 0..1.
    head_rate, head_backbone_rate : float
        Learning rates of a dense head, and of the backbone under it.
    head_batch : int
        Crops a step.
    head_zoom : tuple of float
        Smallest and largest scale at which they are seen.
    head_folds : int
        Parts that are held out in turn, at most, for a head that learns from everything beside.
    head_turns : int
        Steps of that head for each one of who is examined.
    head_shares : tuple of float
        How much of a dense head's logits may count in the result, the rest being the base model's;
        which it is to be is what does best where it was held out. The last counts until then.
    checkpoint_seconds : float
        Between checkpoints.
    minutes_cpu, minutes_gpu : float
        Time unless the user gives one.
    """

    learning_rate: float = 3e-4
    weight_decay: float = 1e-2
    lora_rate: float = 1e-3
    lora_rank: int = 4
    warm_up: int = 10
    clip: float = 1.0
    batch_size: int = 2
    size: int = 192
    full_size_crop: int = 512
    pool: int = 16
    shots: int = 2
    synthetic: float = 0.15
    zoom: tuple[float, float] = (0.7, 1.5)
    relit: float = 0.15
    disguised: float = 0.15
    folds: int = 2
    validations: int = 10
    validation_share: float = 0.25
    validation_side: int = 768
    exam_effort: float = 0.5
    exam_choices: bool = True
    patience: int = 4
    gain: float = 0.005
    keep_base: float = 0.0
    head_rate: float = 2e-3
    head_backbone_rate: float = 3e-4
    head_batch: int = 3
    head_zoom: tuple[float, float] = (0.6, 1.6)
    head_folds: int = 1
    head_turns: int = 2
    head_shares: tuple[float, ...] = (0.25, 0.5, 0.8)
    checkpoint_seconds: float = 10.0
    minutes_cpu: float = 3.0
    minutes_gpu: float = 1.0


RECIPE = FineTuningRecipe()
