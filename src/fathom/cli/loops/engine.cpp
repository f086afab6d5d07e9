// `fathom loops`
#include <ATen/core/grad_mode.h>
#include <ATen/ops/linalg_svdvals.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/cli/engine/engine.h"
#include "fathom/cli/loops/request.h"
#include "fathom/data/corpus.h"
#include "fathom/io/files.h"
#include "fathom/model/device.h"
#include "fathom/study/loop_exits.h"
#include "fathom/study/loop_jacobian.h"
#include "fathom/study/loop_trajectories.h"
#include "fathom/study/tables/exit_table.h"
#include "fathom/track/console.h"
#include "fathom/train/recipe/stage_data.h"

namespace fathom {
namespace {

constexpr int64_t kDefaultTokens = 64, kDefaultSeeds = 4;

using Tokens = std::vector<int64_t>;

// The tokens of a window of the split that are there: rows may be shorter than it.
Tokens tokens_of(const TokenBatch& window) {
  size_t n = window.tokens.size();
  if (const Column* valid = window.find("valid"); valid != nullptr) {
    const WholeNumbers& there = std::get<WholeNumbers>(valid->values);
    n = static_cast<size_t>(std::find(there.begin(), there.end(), 0) - there.begin());
  }
  return {window.tokens.begin(), window.tokens.begin() + static_cast<std::ptrdiff_t>(n)};
}

std::vector<Tokens> split_texts(const LoopsRequest& request, const LoadedModel& loaded,
                                int64_t most, std::string& source) {
  const RunConfig& config = loaded.state.config;
  Corpus corpus = Corpus::open(request.dataset.empty() ? config.data.dataset : request.dataset);
  require_same_tokens(corpus, loaded);
  if (corpus.vocab_size() == 0) corpus.assume_vocab_size(loaded.state.vocab_size);
  is_training_corpus(corpus, loaded.state, request.dataset);
  const auto whole = whole_split(corpus, config, request.split, 1);
  std::vector<Tokens> texts;
  Cursor cursor = whole->start();
  for (int64_t i = 0; i < std::min(request.texts, whole->batches()); ++i) {
    const Drawn drawn = whole->next(cursor);
    cursor = drawn.after;
    Tokens tokens = tokens_of(drawn.batch);
    if (static_cast<int64_t>(tokens.size()) > most) tokens.resize(static_cast<size_t>(most));
    if (tokens.size() >= 2) texts.push_back(std::move(tokens));
  }
  if (texts.empty())
    fail(fmt::format("the first windows of {}/{} have no two tokens", corpus.name(), request.split),
         "take another --split, or --text");
  source = fmt::format("{}/{}, {} text{} of up to {} tokens", corpus.name(), request.split,
                       texts.size(), texts.size() == 1 ? "" : "s", most);
  return texts;
}

// What is given, as far as the model can see.
std::vector<Tokens> given_texts(const LoopsRequest& request, const Tokenizer& tokenizer,
                                int64_t most, std::string& source) {
  std::vector<std::string> words = request.prompts;
  if (request.text) words = {*request.text};
  std::vector<Tokens> texts;
  for (const std::string& text : words) {
    const std::vector<uint32_t> ids = tokenizer.encode(text);
    const auto n = static_cast<int64_t>(ids.size());
    if (n < 2)
      misuse(fmt::format("the text {} has {} tokens", quoted_start(text), n),
             "loops are looked at over two tokens or more");
    if (n > most && !request.tokens)
      misuse(
          fmt::format("the text {} has {} tokens, the model sees {}", quoted_start(text), n, most),
          fmt::format("give a shorter one, or take its first ones: --tokens={}", most));
    texts.emplace_back(ids.begin(), ids.begin() + std::min(n, most));
  }
  source = fmt::format("{} given text{}", texts.size(), texts.size() == 1 ? "" : "s");
  return texts;
}

std::vector<Tokens> asked_texts(const LoopsRequest& request, const LoadedModel& loaded,
                                std::string& source) {
  const int64_t sees = loaded.state.config.model.backbone.block_size;
  if (!request.text && request.prompts.empty())
    return split_texts(request, loaded, std::min(request.tokens.value_or(kDefaultTokens), sees),
                       source);
  if (loaded.tokenizer == nullptr)
    fail(fmt::format("the tokens of {} have no text", request.model.run),
         "look at windows of its corpus: leave out --text and --prompts");
  return given_texts(request, *loaded.tokenizer, std::min(request.tokens.value_or(sees), sees),
                     source);
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

// Of the first states, as the walk has it; negative: the model's own.
double noise_of(const LoopsRequest& request, const ModelConfig& model) {
  if (!request.noise) return -1;
  return *request.noise * std::sqrt(2 / (5 * static_cast<double>(model.backbone.n_embd)));
}

void add_jacobians(const LoopsRequest& request, const LoopWalk& walk, const LoopTrack& track,
                   LoopFacts& facts) {
  const auto T = static_cast<size_t>(track.rows->count());
  const size_t count = std::min(T, static_cast<size_t>(request.jacobian_tokens));
  JacobianOptions options;
  options.block_only = request.block_only;
  facts.map = request.block_only ? "block" : "loop";
  for (size_t g = 0; g < facts.groups.size(); ++g)
    for (const int64_t k : shown_iterations(facts.count - 1))
      for (size_t i = 1; i <= count; ++i)
        facts.jacobians.push_back(jacobian_of(walk, track, g, k, i * T / count - 1, options));
}

// The policy of a sweep's row, with everything else as in generation.
Policy policy_of(const ModelConfig& config, const DepthPlan& plan, int64_t count, double noise,
                 bool fixed) {
  Policy policy = make_policy(config);
  if (fixed) policy = with_loop_counts(plan, policy, count);
  policy.loops.resize(loop_group_names(plan).size());
  for (LoopPolicy& loop : policy.loops) {
    loop.count = count;
    loop.counts.clear();
    if (noise >= 0) loop.noise = noise;
  }
  return policy;
}

void add_exits(const LoopsRequest& request, const LoadedModel& loaded, const DepthModel& model,
               const std::vector<Tokens>& texts, int64_t seeds, LoopFacts& facts) {
  const ModelConfig& config = loaded.state.config.model;
  const DepthPlan& plan = model.walk().plan();
  const double noise = noise_of(request, config);
  for (const int64_t count : request.counts) {
    LoopExit exit =
        score_token_by_token(model, policy_of(config, plan, count, noise, true), texts, seeds);
    exit.name = fmt::format("{} loop{}", count, count == 1 ? "" : "s");
    exit.count = count;
    facts.exits.push_back(std::move(exit));
  }
  for (const double threshold : request.sweep) {
    const ModelConfig changed = with_loop_rule(config, request.rule, threshold);
    LoopExit exit = score_token_by_token(
        model, policy_of(changed, plan, request.counts.back(), noise, false), texts, seeds);
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

LoopFacts facts_of(const LoopsRequest& request, const LoadedModel& loaded,
                   const DepthModel& model) {
  const ModelConfig& config = loaded.state.config.model;
  const LoopWalk walk(model);
  LoopFacts facts;
  facts.run = request.model.run;
  facts.groups = walk.groups();
  facts.count = request.counts.back();
  facts.trained = most_trained_loops(config);
  facts.components = static_cast<size_t>(request.components);
  facts.zoom = static_cast<size_t>(request.zoom);
  const std::vector<Tokens> texts = asked_texts(request, loaded, facts.source);
  const double noise = noise_of(request, config);
  const DepthProgram program = walk.program(facts.count, noise);
  for (const LoopPolicy& loop : program.policy.loops) facts.noisy = facts.noisy || loop.noise > 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    const LoopTrack track = walk.run(program, texts[i]);
    facts.texts.push_back(loops_of_text(walk, track));
    facts.texts.back().tokens = words_of(loaded.tokenizer.get(), texts[i]);
    if (i == 0 && request.jacobian) add_jacobians(request, walk, track, facts);
  }
  analyse(facts);
  const int64_t seeds = request.seeds.value_or(facts.noisy ? kDefaultSeeds : 1);
  for (const int64_t count : request.counts)
    if (seeds > 1) facts.spreads.push_back(spread_of(walk, texts.front(), count, noise, seeds));
  if (!request.sweep.empty()) add_exits(request, loaded, model, texts, seeds, facts);
  if (request.weights) add_weights(model.parameters(), facts);
  return facts;
}

int loops(const LoopsRequest& request) {
  for (const std::string& notice : request.notices) say_note(notice);
  set_threads(request.model.threads);
  const LoadedModel loaded = load_chosen(request.model, choose_device(request.model.device));
  const auto* model =
      dynamic_cast<const DepthModel*>(&next_token_model(loaded, request.model, "loops"));
  if (model == nullptr)
    fail(fmt::format("{} has no loops to look at: its model is no depth walk", request.model.run),
         "take a run of a preset that `fathom list` shows");
  const LoopFacts facts = facts_of(request, loaded, *model);
  if (!request.csv.empty()) {
    const std::string csv = trajectories_csv(facts);
    write_output(request.csv, as_bytes(csv));
  }
  give(loops_report(facts), request.output);
  return 0;
}

}  // namespace

int run_loops_in_engine(const Arguments& arguments) {
  const auto request = parse_loops(arguments);
  return request ? loops(*request) : 0;
}

}  // namespace fathom
