# The later form at GPT-2's size: sandwich norms, counts drawn around 32, gradients of the last 8
# iterations, and a state that begins as noise.
dataset = 'fineweb'
batch_size = 8
block_size = 512
gradient_accumulation_steps = 1

n_layer = 12
n_head = 12
n_embd = 768
dropout = 0.0
block_style = 'sandwich'
init = 'takase'

loop_groups = [[4], [5, 6], [7]]
max_loops = 30
loop_sampling_strategy = 'log_poisson'
loop_sampling_rbar = 32.0
loop_sampling_sigma = 0.5
loop_noise_scale = 1.0
loops_backprop_depth = 8
concatenate_initial_representation = True
spectral_clip_beta = 0.0

max_iters = 60000
lr_decay_iters = 60000
eval_interval = 1000
eval_iters = 100
log_interval = 10
