#include "fathom/study/chosen_model.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "fathom/base/error.h"
#include "fathom/track/console.h"
#include "fathom/train/guards.h"
#include "fathom/train/recipe/data_places.h"
#include "fathom/train/recipe/numbers_options.h"

namespace fathom {

namespace {

void require_same_tokens(const Corpus& corpus, const LoadedModel& loaded) {
  const int64_t text = text_vocab(loaded.state);
  if (corpus.vocab_size() > text)
    misuse(fmt::format("the corpus {} has a vocabulary of {}, the model one of {}", corpus.name(),
                       corpus.vocab_size(), text),
           "evaluate on a corpus prepared with the same tokenizer");
  if (corpus.tokenizer() != nullptr && loaded.tokenizer != nullptr &&
      corpus.tokenizer()->to_json() != loaded.tokenizer->to_json())
    misuse(fmt::format("the corpus {} has another tokenizer than the model", corpus.name()),
           "its ids mean other characters; prepare the text with the model's corpus's tokenizer");
}

}  // namespace

Corpus open_for(const LoadedModel& loaded, const ModelChoice& choice, const RunConfig& config,
                const std::string& asked) {
  std::vector<std::string> notices;
  Corpus corpus =
      asked.empty()
          ? RunData(choice.folder, loaded.state).open(config.data.dataset, config, notices)
          : open_corpus(asked, config);
  for (const std::string& notice : notices) say_note(notice);
  require_same_tokens(corpus, loaded);
  if (corpus.vocab_size() == 0) corpus.assume_vocab_size(text_vocab(loaded.state));
  return corpus;
}

bool is_training_corpus(const Corpus& corpus, const RunState& state, const std::string& asked) {
  for (const std::string& notice : corpus.notices()) say_note(notice);
  const bool same = corpus.fingerprint() == state.corpus_fingerprint;
  // Another one on purpose needs no word.
  if (!same && (asked.empty() || asked == state.config.data.dataset))
    say_note(
        fmt::format("the files of {} are not those that the run was trained on: it was prepared "
                    "anew since, so any of its splits may hold text that the run has seen",
                    corpus.name()));
  return same;
}

LoadedModel load_chosen(const ModelChoice& choice, at::Device device) {
  LoadedModel loaded = load_model(choice.folder, device,
                                  [&](ModelConfig& config) { apply_thresholds(choice, config); });
  require_finite_weights(
      *loaded.model, choice.folder,
      "take another one by --checkpoint; a run's own guards never save such weights");
  return loaded;
}

const NextTokenModel& next_token_model(const LoadedModel& loaded, const ModelChoice& choice,
                                       std::string_view verb) {
  const NextTokenModel* model = loaded.model->next_token_model();
  if (model == nullptr)
    fail(fmt::format("{} cannot be asked by {}: it answers {}", choice.run, verb,
                     loaded.model->answers()),
         "`fathom eval` shows how good it is at that");
  return *model;
}

const Tokenizer& tokenizer_of(const LoadedModel& loaded, const ModelChoice& choice,
                              std::string_view asked) {
  if (loaded.tokenizer == nullptr)
    fail(fmt::format("{} cannot be {}: its corpus has no tokenizer, so its tokens have no text",
                     choice.run, asked),
         "prepare the corpus from text with `fathom prepare`, or train with its tokenizer.json "
         "beside the shards");
  return *loaded.tokenizer;
}

}  // namespace fathom
