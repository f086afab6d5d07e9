// A vocabulary read in chunks is read as in one piece.
#include <ATen/ops/cat.h>

#include "fathom/model/walk/readout.h"
#include "property/presets.h"

namespace fathom::property {
namespace {

constexpr int64_t kReadoutC = 3, kReadoutRows = 40;

// With a graph the reading is in one piece: it is what the other is compared with.
Reading whole(const Tensor& n_RC, LinearParams head, const ReadoutRequest& request) {
  const at::AutoGradMode graph(true);
  head.weight = head.weight.clone().set_requires_grad(true);
  return readout(n_RC, head, request);
}

Reading chunked(const Tensor& n_RC, const LinearParams& head, const ReadoutRequest& request) {
  const at::NoGradGuard no_grad;
  return readout(n_RC, head, request);
}

void expect_same(const Reading& a, const Reading& b, double tolerance) {
  for (Tensor Reading::*x : {&Reading::ln_p_R, &Reading::ln_max_R, &Reading::prediction_R,
                             &Reading::ln_max_confidence_R, &Reading::ln_p_confidence_R}) {
    ASSERT_EQ((a.*x).defined(), (b.*x).defined());
    if ((a.*x).defined()) {
      EXPECT_LE(gap(a.*x, b.*x), tolerance);
      EXPECT_EQ((a.*x).scalar_type(), (b.*x).scalar_type());
    }
  }
}

// Asks for ids of every chunk, its ends among them, and for none.
Tensor ids_for(int64_t V) {
  const Tensor ids_R = random_tokens({kReadoutRows}, V, unsigned(V));
  int64_t i = 0;
  for (int64_t border = 0; border <= V; border += kVocabularyChunk)
    for (const int64_t id : {border - 1, border, border + 1})
      if (id < V) ids_R.data_ptr<int64_t>()[i++] = id;
  ids_R.data_ptr<int64_t>()[i] = V - 1;
  return ids_R;
}

class ChunkedReadout : public PropertyTest {};

TEST_F(ChunkedReadout, EqualsTheWholeOne) {
  for (const int64_t V : {kVocabularyChunk - 1, kVocabularyChunk, kVocabularyChunk + 1,
                          2 * kVocabularyChunk, 2 * kVocabularyChunk + 777})
    for (const at::ScalarType dtype : {at::kFloat, at::kDouble})
      for (const double temperature : {1.0, 0.4, 3.0})
        for (const bool asked : {true, false}) {
          SCOPED_TRACE(fmt::format("V = {}, temperature {}", V, temperature));
          LinearParams head;
          head.weight = random_normal({V, kReadoutC}, 1).to(dtype);
          if (temperature != 3.0) head.bias = random_normal({V}, 2).to(dtype);
          const Tensor n_RC = (4 * random_normal({kReadoutRows, kReadoutC}, 3)).to(dtype);
          ReadoutRequest request;
          if (asked) request.ids_R = ids_for(V);
          request.confidence_temperature = temperature;
          const Reading reading = chunked(n_RC, head, request);
          expect_same(reading, whole(n_RC, head, request), dtype == at::kDouble ? 1e-12 : 2e-5);
          if (!asked) continue;
          const Tensor none_R = request.ids_R.lt(0);
          EXPECT_EQ(none_R.sum().item<int64_t>(), 1);
          EXPECT_EQ(gap(reading.ln_p_R.masked_select(none_R), tensor_of({0}, {1})), 0);
        }
}

// Logits that are whole numbers are equal exactly where they should be.
TEST_F(ChunkedReadout, TakesTheFirstOfEquals) {
  const int64_t V = 2 * kVocabularyChunk + 5;
  const auto chunk = kVocabularyChunk;
  const std::vector<std::vector<int64_t>> ties = {
      {chunk - 1, chunk},           {0, 2 * chunk}, {chunk, 2 * chunk}, {3, 7}, {chunk + 2, V - 1},
      {5, chunk + 5, 2 * chunk + 1}};
  LinearParams head;
  head.weight = at::full({V, int64_t(ties.size())}, -1.0, at::TensorOptions(at::kFloat));
  const Tensor n_RC =
      at::full({int64_t(ties.size()), int64_t(ties.size())}, 0.0, at::TensorOptions(at::kFloat));
  for (size_t r = 0; r < ties.size(); ++r) {
    n_RC[int64_t(r)][int64_t(r)] = 2.0;
    for (const int64_t id : ties[r]) head.weight[id][int64_t(r)] = 3.0;
  }
  const Reading reading = chunked(n_RC, head, {});
  for (size_t r = 0; r < ties.size(); ++r)
    EXPECT_EQ(reading.prediction_R[int64_t(r)].item<int64_t>(), ties[r].front()) << r;
  expect_same(reading, whole(n_RC, head, {}), 3e-5);
  // All are equal: the first of all.
  head.weight.zero_();
  EXPECT_EQ(chunked(n_RC, head, {}).prediction_R.abs().sum().item<int64_t>(), 0);
}

// Neither very large logits nor ones that a mask has taken out end in something that is no number.
TEST_F(ChunkedReadout, EqualsTheWholeOneAtTheEndsOfTheRange) {
  const int64_t V = 2 * kVocabularyChunk + 5;
  LinearParams head;
  head.weight = 300 * random_normal({V, kReadoutC}, 1).to(at::kFloat);
  head.bias = at::full({V}, 0.0, at::TensorOptions(at::kFloat));
  head.bias.narrow(0, 0, kVocabularyChunk).fill_(-HUGE_VAL);  // a whole chunk
  const Tensor n_RC = 10 * random_normal({kReadoutRows, kReadoutC}, 3).to(at::kFloat);
  ReadoutRequest request;
  request.ids_R = ids_for(V);
  request.confidence_temperature = 0.5;
  const Reading reading = chunked(n_RC, head, request);
  EXPECT_FALSE(reading.ln_max_R.isnan().any().item<bool>());
  expect_same(reading, whole(n_RC, head, request), 1e-2);
}

// What a walk reads, scores and decides, by the textbook from the logits.
void expect_readings(const Subject& s, const Batch& batch, bool training) {
  const HaltingConfig& config = s.config.halting;
  const KeptTrace trace = run_kept(s.walk(), s.program(), batch, walk_options(training));
  const Tensor targets_R = trace.all->of(batch.targets_BT), none_R = targets_R.lt(0);
  const auto asked = [&](const Tensor& p_RV) {
    const Tensor ids_R1 = targets_R.clamp_min(0).unsqueeze(1);
    return p_RV.gather(1, ids_R1).squeeze(1).masked_fill(none_R, 0);
  };
  for (const StepRecord* r : trace.readouts()) {
    const size_t layer = size_t(r->layer);
    const LinearParams& head =
        s.walk().params().head.at(s.program().steps[size_t(r->step)].layer.readout->head);
    const Tensor logits_RV = linear(trace.h(*r), head.weight, head.bias);
    const Tensor p_RV = logits_RV.softmax(1);
    EXPECT_LE(gap(r->reading.ln_p_R, asked(p_RV.log())), 1e-12);
    EXPECT_LE(gap(r->reading.ln_max_R, std::get<0>(p_RV.max(1)).log()), 1e-12);
    EXPECT_EQ(gap(r->reading.prediction_R, p_RV.argmax(1)), 0);
    if (!config.acts() || (config.rule != HaltRule::kMax && config.rule != HaltRule::kGold))
      continue;
    const Tensor tempered_RV = (logits_RV / config.temperature).softmax(1);
    const bool gold = training && config.rule == HaltRule::kGold;
    const Tensor score_R = gold ? asked(tempered_RV) : std::get<0>(tempered_RV.max(1));
    EXPECT_LE(gap(r->decision.score_R, score_R), 1e-12);
    Tensor halts_R = score_R.ge(config.thresholds.at(layer));
    if (batch.valid_BT.defined()) halts_R = halts_R.logical_and(trace.all->of(batch.valid_BT));
    EXPECT_EQ(gap(r->decision.halts_R, halts_R), 0);
  }
}

class Readings : public PropertyTest {};

TEST_F(Readings, AreOfTheLogits) {
  const at::NoGradGuard no_grad;
  for (const Case& c : all_cases())
    for (const Batch& batch : {text_batch(4, kBlock, 3), ragged_batch(6, 7, 4)})
      for (const bool training : c.passes()) {
        SCOPED_TRACE(c.name + (training ? ", training" : ""));
        expect_readings(subject(c, batch, at::kDouble, training), batch, training);
      }
}

}  // namespace
}  // namespace fathom::property
