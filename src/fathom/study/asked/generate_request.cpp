#include "fathom/study/asked/generate_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/data/tokenizer.h"
#include "fathom/model/spec/early_policy.h"
#include "fathom/model/spec/policy.h"
#include "fathom/study/asked/typed_text.h"
#include "fathom/train/recipe/fits_memory.h"

namespace fathom {
namespace {

const char* name_of(Draft draft) {
  return draft == Draft::kShift ? "shift" : draft == Draft::kExit ? "exit" : "none";
}

// What a model without shift tokens, or with fewer, cannot do.
void check_shifts(const GenerateRequest& request, const AheadConfig& ahead,
                  const std::string& key) {
  if (!ahead.predict_ahead)
    misuse(fmt::format("{} needs predict_ahead = true, and {} was trained without", key,
                       request.model.run),
           "train a model with --predict_ahead=true");
}

}  // namespace

bool outgrows_window(const GenerateRequest& request, const ModelConfig& model) {
  const int64_t capacity =
      request.window.capacity > 0 ? request.window.capacity : model.backbone.block_size;
  const int64_t seen = capacity - (model.ahead.predict_ahead ? 1 : 0);
  const size_t given = request.start ? request.start->size() : 1;
  return static_cast<int64_t>(given) + request.max_new_tokens > seen;
}

void settle_drafts(const FieldList& list, GenerateRequest& request, const ModelConfig& model) {
  const AheadConfig& ahead = model.ahead;
  if (request.lookahead > 0) {
    check_shifts(request, ahead, fmt::format("lookahead = {}", request.lookahead));
    if (request.lookahead > ahead.max_shift)
      misuse(fmt::format("lookahead = {} is beyond the model's max_shift = {}", request.lookahead,
                         ahead.max_shift),
             fmt::format("take --lookahead between 1 and {}", ahead.max_shift));
  }
  if (request.lookahead > 0 && request.show_layers > 0)
    misuse(
        fmt::format("lookahead = {} adds no token to the text, and show_layers = {} is of tokens "
                    "that are added",
                    request.lookahead, request.show_layers),
        "leave one of them out");
  if (request.draft == Draft::kNone) return;
  const std::string draft = fmt::format("draft = {}", name_of(request.draft));
  if (request.lookahead > 0)
    misuse(fmt::format("lookahead = {} adds nothing to the text, and {} is for texts that grow",
                       request.lookahead, draft),
           "leave one of them out");
  if (request.do_sample)
    misuse(fmt::format("{} checks against the likeliest token, and do_sample = true with "
                       "temperature = {} draws others",
                       draft, request.sampler.temperature),
           "add --do_sample=False, or leave --draft out");
  const Policy policy = make_policy(model);
  for (const LoopPolicy& loop : policy.loops)
    if (loop.cached_iterations > 0)
      misuse(
          fmt::format("{} checks several tokens in a pass, and loop_cache = {} keeps keys that "
                      "only a token at a time sees",
                      draft, loop.cached_iterations),
          "take loop_cache=0 in --policy, which keeps those of every iteration, or leave --draft "
          "out");
  if (request.draft == Draft::kExit) {
    early_policy(model);  // throws where there is none
    return;
  }
  check_shifts(request, ahead, draft);
  if (list.given("draft_tokens") && request.draft_tokens < 2)
    misuse(fmt::format("draft_tokens = {} with {}: shift 1 is the next token itself, which every "
                       "pass makes",
                       request.draft_tokens, draft),
           fmt::format("take --draft_tokens between 2 and {}", ahead.max_shift));
  if (ahead.max_shift < 2)
    misuse(fmt::format("{} needs a max_shift of at least 2, and {} has max_shift = {}", draft,
                       request.model.run, ahead.max_shift),
           "train a model that looks further ahead");
  if (list.given("draft_tokens") && request.draft_tokens > ahead.max_shift)
    misuse(fmt::format("draft_tokens = {} is beyond the model's max_shift = {}",
                       request.draft_tokens, ahead.max_shift),
           fmt::format("take --draft_tokens between 2 and {}", ahead.max_shift));
  request.draft_tokens = std::min(request.draft_tokens, ahead.max_shift);
}

void require_room(const GenerateRequest& request, const RunState& state) {
  const BackboneConfig& b = state.config.model.backbone;
  const int64_t window = request.window.capacity > 0 ? request.window.capacity : b.block_size;
  const auto texts = static_cast<double>(request.num_samples);
  double bytes = 8 * texts;
  if (request.window.overflow != Overflow::kStop)
    bytes *= static_cast<double>(request.max_new_tokens);
  const ModelConfig& model = state.config.model;
  const bool dense = !model.halting.acts() && model.architecture == nullptr &&
                     model.early_exit.layer_widths.empty() &&
                     model.early_exit.layer_contexts.empty();
  // Each of a draft's shifts has keys and values of its own.
  const double views =
      request.draft == Draft::kShift ? static_cast<double>(request.draft_tokens) : 1;
  if (dense)
    bytes += texts * views * static_cast<double>(std::min(window, request.max_new_tokens)) * 2 * 4 *
             static_cast<double>(model.halting.eval_layers.value_or(b.n_layer) * b.n_embd);
  RunConfig config = state.config;
  config.training.device = request.model.device;
  require_memory(config, state.vocab_size, bytes,
                 fmt::format("{} texts of {} new tokens", with_commas(request.num_samples),
                             with_commas(request.max_new_tokens)),
                 "num_samples or max_new_tokens");
}

void add_idle_by_vocabulary(const FieldList& list, const RunState& state,
                            GenerateRequest& request) {
  if (state.tokenizer == nullptr) return;
  const std::unique_ptr<Tokenizer> tokenizer = Tokenizer::from_json(*state.tokenizer);
  if (list.given("end_of_text") && !tokenizer->end_of_text())
    request.notices.push_back(
        fmt::format("end_of_text = {} has no effect: the vocabulary has no token of a text's end",
                    request.end_of_text));
  try {
    encode_typed(*tokenizer, request.stop);
  } catch (const Error& e) {
    request.notices.push_back(
        fmt::format("stop = {} has no effect: {}", quoted_start(request.stop), e.what()));
  }
}

}  // namespace fathom
