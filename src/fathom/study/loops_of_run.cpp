#include "fathom/study/loops_of_run.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/linalg_svdvals.h>
#include <fmt/format.h>

#include <algorithm>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/data/corpus.h"
#include "fathom/data/shift.h"
#include "fathom/model/device.h"
#include "fathom/study/asked/typed_text.h"
#include "fathom/study/chosen_model.h"
#include "fathom/study/loop_exits.h"
#include "fathom/study/loop_jacobian.h"
#include "fathom/study/loop_trajectories.h"
#include "fathom/study/tables/exit_table.h"
#include "fathom/train/recipe/stage_data.h"

namespace fathom {
namespace {

constexpr int64_t kTokensOfAWindow = 64, kDrawsOfNoise = 4;

using Tokens = std::vector<int64_t>;

// Tokens of a text that nobody predicts: its first one, and a shift token before it.
int64_t context_of(const ModelConfig& model) {
  return model.ahead.predict_ahead ? 2 : 1;
}

// The tokens of a window of the split that are there: rows may be shorter than it.
Tokens tokens_of(const TokenBatch& window) {
  size_t n = window.tokens.size();
  if (const Column* valid = window.find("valid"); valid != nullptr) {
    const WholeNumbers& there = std::get<WholeNumbers>(valid->values);
    n = static_cast<size_t>(std::find(there.begin(), there.end(), 0) - there.begin());
  }
  return {window.tokens.begin(), window.tokens.begin() + static_cast<std::ptrdiff_t>(n)};
}

std::vector<Tokens> split_texts(const LoopsJob& request, const LoadedModel& loaded, int64_t most,
                                std::string& source) {
  const RunConfig& config = loaded.state.config;
  const Corpus corpus = open_for(loaded, request.model, config, request.dataset);
  is_training_corpus(corpus, loaded.state, request.dataset);
  const auto whole = whole_split(corpus, config, request.split, 1);
  std::vector<Tokens> texts;
  Cursor cursor = whole->start();
  for (int64_t i = 0; i < std::min(request.texts, whole->batches()); ++i) {
    const Drawn drawn = whole->next(cursor);
    cursor = drawn.after;
    Tokens tokens = tokens_of(drawn.batch);
    if (static_cast<int64_t>(tokens.size()) > most) tokens.resize(static_cast<size_t>(most));
    if (static_cast<int64_t>(tokens.size()) > context_of(config.model))
      texts.push_back(std::move(tokens));
  }
  if (texts.empty())
    fail(fmt::format("the first windows of {}/{} have no two tokens", corpus.name(), request.split),
         "take another --split, or --text");
  source = fmt::format("{}/{}, {} text{} of up to {} tokens", corpus.name(), request.split,
                       texts.size(), texts.size() == 1 ? "" : "s", most);
  return texts;
}

// What is given, as far as the model can see; `front`: tokens before each text.
std::vector<Tokens> given_texts(const LoopsJob& request, const Tokenizer& tokenizer,
                                const Tokens& front, int64_t most, std::string& source) {
  std::vector<std::string> words = request.prompts;
  if (request.text) words = {*request.text};
  std::vector<Tokens> texts;
  for (const std::string& text : words) {
    const std::vector<uint32_t> ids = encode_typed(tokenizer, text);
    const auto n = static_cast<int64_t>(ids.size());
    const int64_t room = most - static_cast<int64_t>(front.size());
    if (n < 2)
      misuse(fmt::format("the text {} has {} tokens", quoted_start(text), n),
             "loops are looked at over two tokens or more");
    if (n > room && !request.tokens)
      misuse(
          fmt::format("the text {} has {} tokens, the model sees {}", quoted_start(text), n, room),
          fmt::format("give a shorter one, or take its first ones: --tokens={}", room));
    texts.push_back(front);
    texts.back().insert(texts.back().end(), ids.begin(), ids.begin() + std::min(n, room));
  }
  source = fmt::format("{} given text{}", texts.size(), texts.size() == 1 ? "" : "s");
  return texts;
}

std::vector<Tokens> asked_texts(const LoopsJob& request, const LoadedModel& loaded,
                                std::string& source) {
  const int64_t sees = loaded.state.config.model.backbone.block_size;
  if (!request.text && request.prompts.empty())
    return split_texts(request, loaded, std::min(request.tokens.value_or(kTokensOfAWindow), sees),
                       source);
  const Tokenizer& tokenizer = tokenizer_of(loaded, request.model, "given texts");
  Tokens front;
  if (loaded.state.config.model.ahead.predict_ahead)
    front = {shift_id(text_vocab(loaded.state), 1)};
  const int64_t asked = request.tokens.value_or(sees) + static_cast<int64_t>(front.size());
  return given_texts(request, tokenizer, front, std::min(asked, sees), source);
}

std::vector<std::string> words_of(const Tokenizer* tokenizer, const Tokens& tokens) {
  std::vector<std::string> words;
  if (tokenizer == nullptr) return words;
  for (const int64_t token : tokens) {
    const auto id = static_cast<uint32_t>(token);
    words.push_back(token < tokenizer->vocab_size() ? visible_token(tokenizer->decode({&id, 1}))
                                                    : std::to_string(token));
  }
  return words;
}

void add_jacobians(const LoopsJob& request, const LoopWalk& walk, const LoopTrack& track,
                   LoopFacts& facts) {
  const auto T = static_cast<size_t>(track.rows->count());
  const size_t count = std::min(T, static_cast<size_t>(request.jacobian_tokens));
  JacobianOptions options;
  options.block_only = request.block_only;
  facts.map = request.block_only ? "block" : "loop";
  facts.jacobian_steps = options.steps;
  const std::vector<int64_t> iterations = request.jacobian_iterations.empty()
                                              ? shown_iterations(facts.count - 1)
                                              : request.jacobian_iterations;
  for (size_t g = 0; g < facts.groups.size(); ++g)
    for (const int64_t k : iterations)
      for (size_t i = 1; i <= count; ++i)
        facts.jacobians.push_back(jacobian_of(walk, track, g, k, i * T / count - 1, options));
}

// Everybody takes `count` iterations, or up to so many where a rule decides.
LoopExit scored(const DepthModel& model, const ModelConfig& config, int64_t count, bool fixed,
                const std::vector<Tokens>& texts, int64_t seeds) {
  const DepthPlan& plan = model.walk().plan();
  Policy policy = make_policy(config);
  if (fixed) policy = with_loop_counts(plan, policy, count);
  for (LoopPolicy& loop : policy.loops) loop.count = count, loop.counts.clear();
  return score_token_by_token(model, policy, texts, seeds, context_of(config));
}

void add_exits(const LoopsJob& request, const ModelConfig& config, const DepthModel& model,
               const std::vector<Tokens>& texts, int64_t seeds, LoopFacts& facts) {
  for (const int64_t count : request.counts) {
    LoopExit exit = scored(model, config, count, /*fixed=*/true, texts, seeds);
    exit.name = fmt::format("{} loop{}", count, count == 1 ? "" : "s");
    exit.count = count;
    facts.exits.push_back(std::move(exit));
  }
  for (const double threshold : request.sweep) {
    LoopExit exit = scored(model, with_loop_rule(config, request.rule, threshold),
                           request.counts.back(), /*fixed=*/false, texts, seeds);
    exit.name = fmt::format("{} {}", request.rule, threshold);
    exit.threshold = threshold;
    facts.exits.push_back(std::move(exit));
  }
}

void add_weights(const ParameterSet& parameters, LoopFacts& facts) {
  const at::NoGradGuard no_grad;
  for (const Parameter& p : parameters.all())
    if (p.tensor.dim() == 2)
      facts.weights.push_back({p.spec.name, p.tensor.size(0), p.tensor.size(1),
                               at::linalg_svdvals(p.tensor.to(at::kFloat)).max().item<double>()});
}

LoopFacts loop_facts_of(const LoopsJob& request, const LoadedModel& loaded,
                        const DepthModel& model) {
  const ModelConfig config = with_noise(loaded.state.config.model, request.noise);
  const LoopWalk walk(model, make_policy(config));
  LoopFacts facts;
  facts.run = request.model.run;
  facts.groups = walk.groups();
  facts.count = request.counts.back();
  facts.trained = most_trained_loops(config);
  facts.components = static_cast<size_t>(request.components);
  facts.zoom = static_cast<size_t>(request.zoom);
  facts.boxes_on_axes = request.box_pca;
  facts.token_pictures = request.token_pictures;
  const std::vector<Tokens> texts = asked_texts(request, loaded, facts.source);
  int last = -1;  // layer of the group before
  for (const LoopRange& range : loop_ranges(model.walk().plan())) {
    facts.outer.push_back(range.first > last);
    last = std::max(last, range.last);
  }
  const DepthProgram program = walk.program(facts.count);
  // As training draws it, whatever evaluation has.
  Policy drawn = make_policy(config);
  for (LoopPolicy& loop : drawn.loops) {
    loop.noise_in_eval = NoiseInEval::kSame;
    facts.noisy = facts.noisy || loop.noise > 0;
  }
  const LoopWalk draws(model, drawn);
  for (size_t i = 0; i < texts.size(); ++i) {
    const LoopTrack track = walk.run(program, texts[i]);
    facts.texts.push_back(loops_of_text(walk, track));
    facts.texts.back().tokens = words_of(loaded.tokenizer.get(), texts[i]);
    if (i == 0 && request.jacobian) add_jacobians(request, walk, track, facts);
  }
  analyse(facts);
  const int64_t seeds = request.seeds.value_or(facts.noisy ? kDrawsOfNoise : 1);
  for (const int64_t count : request.counts)
    if (seeds > 1) facts.spreads.push_back(spread_of(draws, texts.front(), count, seeds));
  // Seeds are draws of the noise, so it is drawn as training does.
  const ModelConfig scored =
      facts.noisy && seeds > 1 ? with_noise(config, config.looping.noise_scale) : config;
  if (!request.sweep.empty()) add_exits(request, scored, model, texts, seeds, facts);
  if (request.weights) add_weights(model.parameters(), facts);
  return facts;
}

}  // namespace

LoopFacts loops_of_run(const LoopsJob& request) {
  set_threads(request.model.threads);
  const LoadedModel loaded = load_chosen(request.model, choose_device(request.model.device));
  const auto* model =
      dynamic_cast<const DepthModel*>(&next_token_model(loaded, request.model, "loops"));
  if (model == nullptr)
    fail(fmt::format("{} has no loops to look at: its model is no depth walk", request.model.run),
         "take a run of a preset that `fathom list` shows");
  return loop_facts_of(request, loaded, *model);
}

}  // namespace fathom
