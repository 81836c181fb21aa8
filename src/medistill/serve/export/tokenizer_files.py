"""A tokenizer as transformers reads it from a folder."""

from pathlib import Path

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from medistill.model.dual import DualEncoder
from medistill.model.tokenizer import pad_id

_ROLES = {
    "unk_token": ("[UNK]", "<unk>"),
    "cls_token": ("[CLS]", "<s>"),
    "sep_token": ("[SEP]", "</s>"),
    "mask_token": ("[MASK]", "<mask>"),
}


def write_tokenizer(model: DualEncoder, folder: Path) -> None:
    """tokenizer.json and tokenizer_config.json: AutoTokenizer cuts and pads on them as the model does."""
    bare = Tokenizer.from_str(model.tokenizer.to_str())
    bare.no_truncation()
    bare.no_padding()
    known = {
        role: next((word for word in words if bare.token_to_id(word) is not None), None)
        for role, words in _ROLES.items()
    }
    PreTrainedTokenizerFast(
        tokenizer_object=bare,
        model_max_length=model.max_tokens,
        pad_token=bare.id_to_token(pad_id(model.tokenizer)),
        **{role: word for role, word in known.items() if word},
    ).save_pretrained(folder)
