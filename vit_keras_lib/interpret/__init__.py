"""What the model looks at."""

from vit_keras_lib.interpret.attention import attention_maps, class_attention

__all__ = ["attention_maps", "class_attention"]
