// nanoGPT's meta.pkl: what was taken is a vocabulary whose tokenizer knows its characters.
#include "fathom/data/meta_pickle.h"

#include "fuzz/fuzzing.h"

namespace fathom::fuzzing {

FATHOM_FUZZ(in) {
  const std::string bytes = grown(in);
  MetaPickle meta;
  if (!accepts(bytes.size(), [&] { meta = read_meta_pickle(bytes, "meta.pkl"); })) return;
  require(meta.vocab_size > 0, "a vocabulary has tokens");
  require(meta.itos.empty() || static_cast<int64_t>(meta.itos.size()) == meta.vocab_size,
          "and each has its character, or none has one");
  require(meta.itos.empty() || meta.without_text.empty(), "a reason is for what has no text");
  std::unique_ptr<Tokenizer> tokenizer;
  if (!accepts(bytes.size(), [&] { tokenizer = tokenizer_of(meta); })) return;
  require((tokenizer == nullptr) == meta.itos.empty(), "characters make a tokenizer");
  if (tokenizer == nullptr) return;
  for (size_t i = 0; i < meta.itos.size(); ++i) {
    const std::vector<uint32_t> ids = tokenizer->encode(meta.itos[i]);
    require(ids.size() == 1 && ids[0] == i, "a character has the id that the file gives it");
  }
}

}  // namespace fathom::fuzzing
