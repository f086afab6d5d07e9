#include "fathom/model/depth_model.h"

namespace fathom {
namespace {

class Headless : public DepthModel {
 public:
  using DepthModel::DepthModel;

 protected:
  // The mean of a position's state is how often its token has been there, itself included.
  void add_losses(const WalkedBatch& walked, const Pass& /*pass*/,
                  ModelOutput& output) const override {
    const Tensor& tokens_BT = walked.batch.tokens_BT;
    const Tensor same_BTT = tokens_BT.unsqueeze(2).eq(tokens_BT.unsqueeze(1));
    const Tensor often_R = same_BTT.tril().sum(2).flatten();
    const Tensor error_R = walked.trace.end.r_RC.mean(1) - often_R;
    const double count = static_cast<double>(error_R.numel());
    output.losses.push_back({"squares", error_R.pow(2).sum(), count});
    output.metrics["distance"] = {error_R.detach().abs().sum().item<double>(), count};
  }
  void add_counts(const Batch& batch, std::map<std::string, double>& counts) const override {
    counts["squares"] = static_cast<double>(batch.tokens_BT.numel());
  }
};

}  // namespace

void register_headless(Models& models) {
  models.add("headless",
             [](ModelParts parts) { return std::make_unique<Headless>(std::move(parts)); });
}

}  // namespace fathom
