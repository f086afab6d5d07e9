// Signals of objectives at a readout of a walk.
//
// R rows, C channels.
#pragma once

#include <map>
#include <tuple>
#include <vector>

#include "fathom/model/objective_values.h"
#include "fathom/model/supervision.h"

namespace fathom {

// The next row of each row's text: its number (the row itself where there is none), and whether
// there is one. Texts end with their sequence, their segment, and before rows that are not valid.
struct NextRows {
  Tensor index_R, has_R;
};
NextRows next_rows(const Rows& rows);

// What is known before a layer answers.
class EarlierSignals : public SignalSource {
 public:
  // A readout that comes after the first `before` of the steps; `targets_BT` of the batch; `cap` of
  // the probability that a row halts with.
  EarlierSignals(const SupervisionTerm& term, const std::vector<StepRecord>& steps, size_t before,
                 const StepRecord& now, const Tensor& targets_BT, at::ScalarType type, double cap);

  TermValue of(const std::string& name) const override;
  Tensor ln_of(const std::string& name) const override;
  // A layer has answered before.
  bool has_previous() const { return previous_ != nullptr; }

 protected:
  Tensor ln_expected_asked() const;  // undefined: 0
  // That a row which is asked at the record halts there, in expectation.
  Tensor ln_expected_halts(const StepRecord& record) const;
  // As it was at the record.
  static TermValue asked(const StepRecord& record);
  static TermValue halts(const StepRecord& record);
  static TermValue survives(const StepRecord& record);
  static TermValue answers(const StepRecord& record, bool last);

  const SupervisionTerm& term_;
  const std::vector<StepRecord>& steps_;
  size_t before_;
  const StepRecord& now_;
  const StepRecord* previous_ = nullptr;  // the readout before
  const Tensor& targets_BT_;
  double cap_;

 private:
  TermValue previous(std::string_view name) const;
};

// What judges have said, so that several terms ask them once.
class Judges {
 public:
  explicit Judges(const WalkedBatch& walked);
  // Of the step's answer, as the term's judge sees it.
  const Reading& reading(const SupervisionTerm& term, size_t step);

 private:
  Reading ask(const SupervisionTerm& term, size_t step) const;
  size_t next_readout(size_t step) const;

  const WalkedBatch& walked_;
  Tensor targets_R_;
  std::map<std::tuple<int, int64_t, bool, size_t>, Reading> said_;
};

// All of them, of a walk that is over.
class ReadoutSignals final : public EarlierSignals {
 public:
  ReadoutSignals(const SupervisionTerm& term, const WalkedBatch& walked, size_t step,
                 Judges& judges);

  TermValue of(const std::string& name) const override;
  Tensor ln_of(const std::string& name) const override;

 private:
  bool is_last() const;  // no readout comes after it
  const Reading& own() const;
  Tensor carry2() const;
  Tensor prev_next_dot() const;
  Tensor prev_token_ln_p() const;

  const WalkedBatch& walked_;
  size_t step_;
  Judges& judges_;
};

}  // namespace fathom
