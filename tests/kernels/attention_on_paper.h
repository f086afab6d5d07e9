// Attention in double precision, computed as it is written, and its kernels beside it.
#pragma once

#include "fathom/kernels/attention.h"
#include "fathom/kernels/random_field.h"
#include "kernels/testing.h"

namespace fathom {

struct PaperCase {
  int64_t B, Q, K, H, D, E;
  enum Mask { kCausal, kWindow, kEverything, kRandom, kHidden, kHiddenNotOwn, kNothing } mask;
  double p = 0;
  AttentionForm form = {};

  bool by_head() const { return form.values == AttentionForm::kByHead; }
  int64_t values() const { return by_head() ? H * E : E; }
  int64_t outputs() const { return form.adds_heads() ? E : H * E; }
};

// The same problem, keys turned: a channel's of all keys one behind the other, in memory that has
// room for more of them; what is there is no number.
class TurnedKeys {
 public:
  explicit TurnedKeys(const AttentionProblem& p) : problem_(p) {
    const int64_t room = p.K + 5, C = p.H * p.D;
    keys_.assign(size_t(p.B * C * room), __builtin_nanf(""));
    for (int64_t b = 0; b < p.B; ++b)
      for (int64_t k = 0; k < p.K; ++k)
        for (int64_t c = 0; c < C; ++c)
          keys_[size_t((b * C + c) * room + k)] =
              p.k.data[b * p.k.batch_stride + k * p.k.row_stride + c];
    problem_.k = {keys_.data(), C * room, 1};
    problem_.k_channel_stride = room;
  }
  const AttentionProblem& problem() const { return problem_; }

 private:
  AttentionProblem problem_;
  std::vector<float> keys_;
};

// A problem with its memory, and its answer in double precision, computed as it is written.
class OnPaper {
 public:
  explicit OnPaper(const PaperCase& c, uint64_t seed = 3) : c_(c), numbers_(seed) {
    q = numbers_.draw(c.B * c.Q * c.H * c.D);
    // k and v beside each other in memory, as one linear makes them.
    kv = numbers_.draw(c.B * c.K * row());
    d_out = numbers_.draw(c.B * c.Q * c.outputs());
    const bool hides = c.mask == PaperCase::kHidden || c.mask == PaperCase::kHiddenNotOwn;
    for (int64_t i = 0; hides && i < c.B * c.K; ++i)
      hidden.push_back(numbers_.draw(1)[0] > 0.3 ? 1 : 0);
    for (int64_t b = 0; b < c.B; ++b)
      for (int64_t i = 0; i < c.Q; ++i) add_query(b, i);
    for (int64_t b = 0; b < c.B; ++b) streams.push_back(uint64_t(100 + b));
    for (int64_t b = 0; b < c.B; ++b)
      for (int64_t i = 0; i < c.Q; ++i) query_positions.push_back(2 * i + b);
    for (int64_t b = 0; b < c.B; ++b)
      for (int64_t i = 0; i < c.K; ++i) key_positions.push_back(i + (i > 3 ? 2 : 0) + b);
  }

  AttentionProblem kernel_problem() {
    AttentionProblem p;
    p.B = c_.B, p.Q = c_.Q, p.K = c_.K, p.H = c_.H, p.D = c_.D, p.E = c_.E;
    p.q = {q.data(), c_.Q * c_.H * c_.D, c_.H * c_.D};
    p.k = {kv.data(), c_.K * row(), row()};
    p.v = {values_of(kv), c_.K * row(), row()};
    p.ranges = ranges.data();
    if (!blocked.empty()) p.blocked = blocked.data();
    if (!hidden.empty()) p.hidden = hidden.data();
    if (!own.empty()) p.own = own.data();
    p.form = c_.form;
    p.dropout = {c_.p, 11, streams.data(), query_positions.data(), key_positions.data(), span};
    return p;
  }

  // Answers of the kernel.
  void run() {
    const AttentionProblem p = kernel_problem();
    out.assign(d_out.size(), 5.0f);
    lse.assign(size_t(c_.B * c_.H * c_.Q), 5.0f);
    d_q.assign(q.size(), 5.0f);
    d_kv.assign(kv.size(), 5.0f);
    const int64_t width = c_.outputs();
    const HeadRows rows = {out.data(), c_.Q * width, width};
    std::vector<float> of_turned(out.size());
    attention_forward(TurnedKeys(p).problem(),
                      {of_turned.data(), rows.batch_stride, rows.row_stride}, nullptr);
    attention_forward(p, rows, lse.data());
    EXPECT_EQ(out, of_turned);
    attention_backward(p, lse.data(), {d_out.data(), c_.Q * width, width},
                       {d_q.data(), p.q.batch_stride, p.q.row_stride},
                       {d_kv.data(), p.k.batch_stride, row()},
                       {values_of(d_kv), p.k.batch_stride, row()});
  }

  struct Answer {
    std::vector<double> out, d_q, d_kv;
  };
  Answer on_paper() const {
    Answer a;
    a.out.assign(d_out.size(), 0);
    a.d_q.assign(q.size(), 0);
    a.d_kv.assign(kv.size(), 0);
    for (int64_t b = 0; b < c_.B; ++b)
      for (int64_t h = 0; h < c_.H; ++h)
        for (int64_t i = 0; i < c_.Q; ++i) one_query(b, h, i, a);
    return a;
  }

  std::vector<float> q, kv, d_out, out, lse, d_q, d_kv;
  std::vector<KeyRange> ranges;
  std::vector<uint8_t> blocked;
  std::vector<float> hidden;
  std::vector<int32_t> own;
  std::vector<uint64_t> streams;
  std::vector<int64_t> query_positions, key_positions;
  const int64_t span = 5000;

 private:
  int64_t row() const { return c_.H * c_.D + c_.values(); }
  float* values_of(std::vector<float>& keys_and_values) const {
    return keys_and_values.empty() ? nullptr : keys_and_values.data() + c_.H * c_.D;
  }

  void add_query(int64_t b, int64_t i) {
    const auto K = static_cast<int32_t>(c_.K), end = std::min(static_cast<int32_t>(i + 1), K);
    switch (c_.mask) {
      case PaperCase::kCausal:
        return ranges.push_back({0, end});
      case PaperCase::kWindow:
        return ranges.push_back({std::max(0, end - 4), end});
      case PaperCase::kEverything:
        return ranges.push_back({0, K});
      case PaperCase::kNothing:
        return ranges.push_back({0, 0});
      case PaperCase::kHidden:
      case PaperCase::kHiddenNotOwn:
        return add_hidden(b, i, end);
      default:
        break;
    }
    ranges.push_back({static_cast<int32_t>(i % 3 == 0 ? 0 : i / 2 % K), end});
    for (int64_t k = 0; k < c_.K; ++k)
      blocked.push_back(i % 7 == 2 || numbers_.draw(1)[0] > 0.5 ? 1 : 0);
  }

  // Causal; the ends of a range are keys that are seen.
  void add_hidden(int64_t b, int64_t i, int32_t end) {
    KeyRange r = {int32_t(i / 5), end};
    const bool is_own = c_.mask == PaperCase::kHiddenNotOwn && i < c_.K && hides(b, i);
    if (c_.mask == PaperCase::kHiddenNotOwn) own.push_back(is_own ? int32_t(i) : -1);
    while (r.first < r.last && hides(b, r.first) && !(is_own && r.first == i)) ++r.first;
    while (r.first < r.last && hides(b, r.last - 1) && !(is_own && r.last - 1 == i)) --r.last;
    ranges.push_back(r.first < r.last ? r : KeyRange{});
  }
  bool hides(int64_t b, int64_t k) const { return hidden[size_t(b * c_.K + k)] != 0; }
  bool is_seen(int64_t b, int64_t i, int64_t k) const {
    const auto query = size_t(b * c_.Q + i);
    if (!blocked.empty() && blocked[query * size_t(c_.K) + size_t(k)]) return false;
    return hidden.empty() || !hides(b, k) || (!own.empty() && own[query] == k);
  }

  // From scores, with -infinity for those that are not seen.
  std::vector<double> weights_of(const std::vector<double>& scores) const {
    double sum = 0, most = c_.form.sink ? 0 : -1e300, seen = 0;
    for (const double score : scores) most = std::max(most, score), seen += score > -INFINITY;
    std::vector<double> weights;
    for (const double score : scores)
      if (c_.form.weights == AttentionForm::kSigmoid)
        weights.push_back(score > -INFINITY ? 1 / (1 + seen * std::exp(-score)) : 0);
      else
        sum += weights.emplace_back(std::exp(score - most));
    if (c_.form.weights == AttentionForm::kSigmoid) return weights;
    if (c_.form.sink) sum += std::exp(-most);
    for (double& weight : weights) weight = seen == 0 ? 0 : weight / sum;
    return weights;
  }

  float multiplier(int64_t b, int64_t h, int64_t i, int64_t k) const {
    float m = 1;
    const int64_t line = (query_positions[size_t(b * c_.Q + i)] * c_.H + h) * span;
    if (c_.p != 0)
      fill_dropout({&m, 1}, c_.p, 11, streams[size_t(b)],
                   uint64_t(line + key_positions[size_t(b * c_.K + k)]));
    return m;
  }

  void one_query(int64_t b, int64_t h, int64_t i, Answer& a) const {
    const KeyRange r = ranges[size_t(b * c_.Q + i)];
    const double share = c_.form.values == AttentionForm::kMean ? 1 / double(c_.H) : 1;
    const int64_t out_head = c_.form.adds_heads() ? 0 : h, value_head = c_.by_head() ? h : 0;
    const size_t at_q = size_t(((b * c_.Q + i) * c_.H + h) * c_.D);
    const size_t at_out = size_t((b * c_.Q + i) * c_.outputs() + out_head * c_.E);
    const auto at_k = [&](int64_t k) { return size_t((b * c_.K + k) * row() + h * c_.D); };
    const auto at_v = [&](int64_t k) {
      return size_t((b * c_.K + k) * row() + c_.H * c_.D + value_head * c_.E);
    };
    std::vector<double> scores(size_t(c_.K), -INFINITY), slopes(size_t(c_.K), 0);
    for (int64_t k = r.first; k < r.last; ++k) {
      double score = 0;
      for (int64_t d = 0; d < c_.D; ++d)
        score += double{q[at_q + size_t(d)]} * double{kv[at_k(k) + size_t(d)]};
      if (is_seen(b, i, k)) scores[size_t(k)] = score / std::sqrt(double(c_.D));
    }
    const std::vector<double> weights = weights_of(scores);
    double delta = 0;
    for (int64_t k = r.first; k < r.last; ++k) {
      const double weight = weights[size_t(k)];
      if (weight == 0) continue;
      const double m = share * double{multiplier(b, h, i, k)};
      double slope = 0;
      for (int64_t e = 0; e < c_.E; ++e) {
        const double value = double{kv[at_v(k) + size_t(e)]}, d = double{d_out[at_out + size_t(e)]};
        a.out[at_out + size_t(e)] += weight * m * value;
        a.d_kv[at_v(k) + size_t(e)] += weight * m * d;
        slope += d * value * m;
      }
      slopes[size_t(k)] = slope;
      delta += weight * slope;
    }
    for (int64_t k = 0; k < c_.K; ++k) {
      const double weight = weights[size_t(k)], slope = slopes[size_t(k)];
      const bool sigmoid = c_.form.weights == AttentionForm::kSigmoid;
      const double d_score =
          weight * (sigmoid ? (1 - weight) * slope : slope - delta) / std::sqrt(double(c_.D));
      for (int64_t d = 0; d < c_.D; ++d) {
        a.d_q[at_q + size_t(d)] += d_score * double{kv[at_k(k) + size_t(d)]};
        a.d_kv[at_k(k) + size_t(d)] += d_score * double{q[at_q + size_t(d)]};
      }
    }
  }

  PaperCase c_;
  Numbers numbers_;
};

inline void expect_paper(const PaperCase& c) {
  SCOPED_TRACE(fmt::format("B {} Q {} K {} H {} D {} E {} mask {} p {}, form {} {} {}", c.B, c.Q,
                           c.K, c.H, c.D, c.E, int(c.mask), c.p, int(c.form.weights),
                           int(c.form.values), c.form.sink));
  OnPaper problem(c);
  problem.run();
  const OnPaper::Answer answer = problem.on_paper();
  EXPECT_LT(distance(problem.out, answer.out), 2e-6);
  EXPECT_LT(distance(problem.d_q, answer.d_q), 5e-6);
  if (c.Q > 0) {
    EXPECT_LT(distance(problem.d_kv, answer.d_kv), 5e-6);
  }
}

}  // namespace fathom
