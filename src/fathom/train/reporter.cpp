#include "fathom/train/reporter.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "fathom/base/text.h"
#include "fathom/config/path_text.h"
#include "fathom/model/spec/loop_metric_names.h"
#include "fathom/model/spec/parameter_table.h"
#include "fathom/track/console.h"
#include "fathom/track/metric_text.h"
#include "fathom/track/notebook_log.h"
#include "fathom/train/recipe/stage_data.h"

namespace fathom {

namespace {

constexpr int64_t kUsualLines = 20;  // of a log, of steps; what is evaluated has more
constexpr double kLongSilence = 60;  // seconds

std::string loss_text(const NamedEvaluation& e, bool with_error) {
  return fmt::format("{} loss {:.4f}{}", e.name, e.evaluation.loss,
                     with_error ? fmt::format(" (+-{})", error_text(e.evaluation)) : "");
}

// What the steps up to `step` of a run took that goes on, by the store's train/seconds. Between two
// numbers, and beyond the last one, steps are taken to be equally fast. NaN: it is not known.
double seconds_until(const std::string& run, int64_t step) {
  constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
  try {
    RunStoreOptions options;
    options.read_only = true;
    const std::vector<Point> points =
        RunStore(run_store_path(), options).series(run, "train/seconds");
    const Point* before = nullptr;
    for (const Point& point : points) {
      if (point.step > step && before != nullptr)
        return before->value + (point.value - before->value) *
                                   static_cast<double>(step - before->step) /
                                   static_cast<double>(point.step - before->step);
      if (point.step > step) return kUnknown;
      before = &point;
    }
    if (before == nullptr) return kUnknown;
    return before->step == 0
               ? before->value
               : before->value * static_cast<double>(step) / static_cast<double>(before->step);
  } catch (const Error&) {
    return kUnknown;  // only watched
  }
}

// Whether the run goes on whose series of loop groups have numbers.
bool numbers_groups(const TrainRequest& request) {
  if (!request.resume || request.options.reset_history) return false;
  try {
    RunStoreOptions options;
    options.read_only = true;
    const RunStore store(run_store_path(), options);
    const std::vector<std::string> names = store.metric_names(request.options.run_name);
    return std::any_of(names.begin(), names.end(), numbers_loop_group);
  } catch (const Error&) {
    return false;  // only watched
  }
}

NotebookModel notebook_model(const ModelConfig& model, int64_t vocab_size) {
  const BackboneConfig& b = model.backbone;
  NotebookModel out;
  for (const ParameterSpec& p : parameter_table(model, vocab_size))
    if (p.name.rfind("position_table", 0) != 0) out.parameters += p.count();
  out.n_layer = b.n_layer;
  out.n_head = b.n_head;
  out.head_width = b.n_embd / b.n_head;
  out.block_size = b.block_size;
  return out;
}

// The one in which the run is.
const StageRun& present_stage(const TrainRequest& request, const RunState& state) {
  for (const StageRun& stage : request.stages)
    if (stage.name == state.stage) return stage;
  return request.stages.front();
}

// The one that the best checkpoint goes by.
bool is_deciding(const NamedEvaluation& e, const EvalReport& report) {
  return report.best_metric.rfind(eval_series(e.name, ""), 0) == 0;
}

// Whether they say more than the loss does: of an objective with names of its own. Those of layers
// without one are told as losses.
bool tells_parts(const ModelConfig& model, const std::map<std::string, double>& parts) {
  if (!model.supervision.has_objective() || parts.empty()) return false;
  return parts.size() > 1 || parts.begin()->first != "loss";
}

}  // namespace

std::vector<std::string> evaluation_lines(const EvalReport& r) {
  std::vector<std::string> losses, more_lines;
  for (const NamedEvaluation& e : r.evaluations) {
    const bool is_training_text = e.name == "train";
    losses.push_back(loss_text(e, !is_training_text));
    if (is_training_text) continue;
    const auto accuracy = e.evaluation.metrics.find("accuracy");
    const bool has_accuracy = accuracy != e.evaluation.metrics.end();
    if (has_accuracy) losses.push_back(fmt::format("accuracy {:.3f}", accuracy->second));
    // What has not been said; a model with one reading has said everything.
    std::map<std::string, double> more;
    for (const auto& [name, value] : e.evaluation.metrics)
      if (name != "accuracy" && !is_detail(name)) more[name] = value;
    // Where it is another number than the loss.
    if (const auto& objective = e.evaluation.objective;
        objective && std::abs(*objective - e.evaluation.loss) >= 5e-5)
      more["objective"] = *objective;
    if (!more.empty()) more_lines.push_back(fmt::format("  {}: {}", e.name, metrics_text(more)));
  }
  std::vector<std::string> lines = {fmt::format("step {}: {}{}", with_commas(r.step),
                                                join(losses, ", "),
                                                r.best && r.step > 0 ? ", best" : "")};
  lines.insert(lines.end(), more_lines.begin(), more_lines.end());
  return lines;
}

Reporter::Reporter(const TrainRequest& request, const RunState& state, RunRecorder& recorder,
                   std::optional<int> gpu)
    : request_(request),
      state_(state),
      recorder_(recorder),
      progress_(ProgressOptions::for_stream(stdout, total_steps(request), state.step)),
      log_interval_(request.config.training.log_interval),
      steps_of_run_(total_steps(request)),
      last_line_(state.step) {
  if (state.step > 0) seconds_ = seconds_until(request.options.run_name, state.step);
  if (numbers_groups(request))
    numbered_groups_ = loop_group_keys(make_depth_plan(state.config.model));
  if (!gpu) return;
  gpu_.emplace(*gpu);
  if (!gpu_->problem().empty() && !request.options.quiet)
    on_notice("what the GPU does is not logged: " + gpu_->problem());
}

void Reporter::on_stage(const StageRun& stage) {
  log_interval_ = stage.config.training.log_interval;
  on_notice(fmt::format("the stage {} begins, for {}", stage.name, to_text(stage.budget)));
}

// What `compare` and `plot` set a run's numbers against.
std::vector<MetricValue> Reporter::used_up() const {
  std::vector<MetricValue> values = {{"train/tokens", static_cast<double>(state_.progress.tokens)}};
  if (std::isfinite(state_.progress.flops))
    values.push_back({"train/flops", state_.progress.flops});
  if (std::isfinite(seconds_)) values.push_back({"train/seconds", seconds_});
  return values;
}

// Of a log: for each log step where they were asked for, else so that there are kUsualLines in all,
// and of slow steps one a minute.
bool Reporter::is_line_due(int64_t step) {
  bool is_due = is_log_step(step);
  if (!request_.options.keeps_log_lines) {
    const int64_t spacing = (steps_of_run_ + kUsualLines - 1) / kUsualLines;
    is_due = step == 1 || (spacing > 0 && step / spacing > last_line_ / spacing) ||
             progress_.silence() >= kLongSilence;
  }
  if (is_due) last_line_ = step;
  return is_due;
}

void Reporter::on_step(const StepReport& r) {
  // A short window's speed, so that the number moves with the machine but does not flicker.
  const double speed = static_cast<double>(r.tokens) / r.seconds;
  speed_ = speed_ == 0 ? speed : 0.9 * speed_ + 0.1 * speed;
  // The run's last step is stored too: it says where the run has come to.
  const bool log_step = is_log_step(r.step) || r.step == steps_of_run_;
  seconds_ += r.seconds;
  clipped_ += r.clipped ? 1 : 0;
  ++steps_;
  if (log_step) {
    std::vector<MetricValue> values = {{"train/loss", r.loss},
                                       {"train/gradient_norm", r.gradient_norm},
                                       {"train/learning_rate", r.learning_rate},
                                       {"train/tokens_per_s", speed_}};
    if (r.objective) values.push_back({"train/objective", *r.objective});
    if (tells_parts(state_.config.model, r.parts))
      for (const auto& [name, value] : r.parts) values.push_back({"train/part/" + name, value});
    if (state_.config.optimizer.grad_clip > 0)
      values.push_back({"train/clipped", clipped_ / steps_});
    clipped_ = steps_ = 0;
    for (const auto& [name, value] : r.metrics) values.push_back({"train/" + name, value});
    for (const MetricValue& use : meter_.read().values()) values.push_back(use);
    if (gpu_)
      for (const MetricValue& use : gpu_->read().values()) values.push_back(use);
    for (const MetricValue& used : used_up()) values.push_back(used);
    used_up_at_ = r.step;
    record(r.step, std::move(values));
  }
  if (request_.options.quiet) return;
  if (is_notebook()) {
    if (log_step) print_notebook_step(r);
    return;
  }
  ProgressSample sample = {r.step, r.loss, speed_, {}};
  if (r.objective) sample.extra.emplace_back("objective", fmt::format("{:.4f}", *r.objective));
  sample.extra.emplace_back("lr", fmt::format("{:.2e}", r.learning_rate));
  if (const auto s = r.metrics.find("spectral/largest"); s != r.metrics.end()) s_max_ = s->second;
  if (s_max_ > 0) sample.extra.emplace_back("s_max", fmt::format("{:.3f}", s_max_));
  progress_.update(sample, is_line_due(r.step));
}

// A run has one name for each of its series.
void Reporter::record(int64_t step, std::vector<MetricValue> values) {
  if (!numbered_groups_.empty())
    for (MetricValue& value : values)
      value.name = with_numbered_group(value.name, numbered_groups_);
  recorder_.add(step, std::move(values));
}

void Reporter::on_evaluation(const EvalReport& r) {
  std::vector<MetricValue> values;
  for (const NamedEvaluation& e : r.evaluations)
    for (const auto& [name, value] : e.evaluation.numbers())
      if (name != "standard_error" || e.name != "train")
        values.push_back({eval_series(e.name, name), value});
  if (used_up_at_ != r.step)
    for (const MetricValue& used : used_up()) values.push_back(used);
  used_up_at_ = r.step;
  record(r.step, std::move(values));
  if (r.best) recorder_.set_best(r.best_metric, r.step, r.best_value);
  last_ = r;
  if (request_.options.quiet) return;
  for (const NamedEvaluation& e : r.evaluations)
    if (is_deciding(e, r))
      progress_.set_evaluation(e.evaluation.loss, r.best_metric == eval_series(e.name, "loss")
                                                      ? std::optional<double>(r.best_value)
                                                      : std::nullopt);
  if (!is_notebook()) {
    for (const std::string& line : evaluation_lines(r)) progress_.print(line);
    return;
  }
  if (r.step == 0) return;  // as the notebook, which evaluates nothing before the first step
  for (const NamedEvaluation& e : r.evaluations) {
    if (e.name != "val") continue;
    // Where tokens halt, the loss of whoever answered.
    const auto infer = e.evaluation.metrics.find("infer");
    const double loss = infer != e.evaluation.metrics.end() ? infer->second : e.evaluation.loss;
    say_raw(stdout, notebook_val_line(r.step, loss) + "\n");
  }
}

void Reporter::on_evaluating(const std::string& name, int64_t done, int64_t batches) {
  if (request_.options.quiet || is_notebook()) return;
  progress_.show_activity("evaluating " + name, done, batches);
}

void Reporter::on_sample(const std::vector<std::string>& lines) {
  if (request_.options.quiet) return;
  for (const std::string& line : lines)
    is_notebook() ? void(say_raw(stdout, line + "\n")) : progress_.print(line);
}

bool Reporter::is_notebook() const {
  return request_.config.training.log_format == LogFormat::kNotebook;
}

void Reporter::print_notebook_step(const StepReport& r) const {
  const RunConfig& c = state_.config;
  const int64_t L = c.model.backbone.n_layer;
  NotebookStep line;
  line.step = r.step - 1;
  const auto infer = r.metrics.find("infer");
  const bool halts = infer != r.metrics.end();
  line.train = halts ? infer->second : r.loss;
  line.all = r.objective.value_or(r.loss);
  for (const auto& [name, value] : r.parts)
    if (name != "loss" && name.rfind("loss/", 0) != 0) line.confidence += value;
  line.early_stops.assign(static_cast<size_t>(L), 0);
  if (halts) line.target = line.train;
  for (int64_t i = 0; i < L; ++i) {
    const auto rate = r.metrics.find(fmt::format("exit_rate/{}", i));
    if (rate == r.metrics.end()) continue;
    line.early_stops[static_cast<size_t>(i)] = rate->second;
    if (i + 1 < L) line.early_stop += rate->second;
  }
  line.learning_rate = r.learning_rate;
  line.gradient_norm = r.gradient_norm;
  line.milliseconds = 1e3 * r.seconds;
  line.tokens_per_second = static_cast<double>(r.tokens) / r.seconds;
  line.flops = notebook_flops(notebook_model(c.model, state_.vocab_size), r.tokens, r.seconds);
  line.batch_reuse =
      times_given_in(present_stage(request_, state_), since(state_.stage_start, state_.progress));
  // Its lines are read by programs: never folded.
  say_raw(stdout, notebook_line(line) + "\n");
}

void Reporter::on_notice(const std::string& notice) {
  is_notebook() ? say_note(notice) : progress_.print("note: " + notice);
}

void Reporter::interrupted(int64_t saved_step, bool begun) {
  if (!request_.options.quiet && !is_notebook()) progress_.finish();
  if (begun && used_up_at_ != state_.step) recorder_.add(state_.step, used_up());
  const std::string& name = request_.options.run_name;
  say(is_notebook() ? stderr : stdout,
      fmt::format("{}: interrupted{}. To go on:\n  fathom train {} --run_name={} --resume\n", name,
                  begun ? "; saved at step " + with_commas(saved_step)
                        : " before its first step, and the run is as it was",
                  request_.config.preset, shell_word(run_word(request_.options))));
}

void Reporter::finish() {
  if (is_notebook()) return;
  if (!request_.options.quiet) progress_.finish();
  const NamedEvaluation* shown = &last_.evaluations.back();
  for (const NamedEvaluation& one : last_.evaluations)
    if (is_deciding(one, last_)) shown = &one;
  say(stdout,
      fmt::format("{}: {} after {} in {}\n", request_.options.run_name, loss_text(*shown, false),
                  counted(last_.step, "step"), human_duration(progress_.elapsed())));
}

}  // namespace fathom
