"""Answers to the exercises of 02_progressive_shrinking: `RIGHT` must pass, `WRONG` must not."""

import numpy as np
import torch
import torch.nn.functional as F
import torch.utils.checkpoint

# ---- 2.1 -----------------------------------------------------------------------------------------


def distill_kl_div(student, teacher, labels, temperature, share):
    soft = F.kl_div(
        (student / temperature).log_softmax(1),
        (teacher.detach() / temperature).softmax(1),
        reduction="batchmean",
    )
    return (1 - share) * F.cross_entropy(student, labels) + share * temperature**2 * soft


def distill_by_hand(student, teacher, labels, temperature, share):
    with torch.no_grad():
        log_p = torch.log_softmax(teacher / temperature, dim=-1)
    log_q = torch.log_softmax(student / temperature, dim=-1)
    kl = torch.sum(log_p.exp() * (log_p - log_q), dim=-1)
    hard = -student.log_softmax(-1).gather(1, labels[:, None]).squeeze(1)
    return torch.mean(share * kl * temperature * temperature + (1 - share) * hard)


def _distill(student, teacher, labels, temperature, share, scale, reduction):
    soft = F.kl_div(
        (student / temperature).log_softmax(1),
        (teacher.detach() / temperature).softmax(1),
        reduction=reduction,
    )
    return (1 - share) * F.cross_entropy(student, labels) + share * scale * soft


def distill_no_square(student, teacher, labels, temperature, share):
    return _distill(student, teacher, labels, temperature, share, 1, "batchmean")


def distill_factor_not_squared(student, teacher, labels, temperature, share):
    return _distill(student, teacher, labels, temperature, share, temperature, "batchmean")


def distill_logits_not_divided(student, teacher, labels, temperature, share):
    return _distill(student, teacher, labels, 1.0, share, temperature**2, "batchmean")


def distill_without_share(student, teacher, labels, temperature, share):
    return 2 * _distill(student, teacher, labels, temperature, 0.5, temperature**2, "batchmean")


def distill_softmax_over_images(student, teacher, labels, temperature, share):
    soft = F.kl_div(
        (student / temperature).log_softmax(0),
        (teacher.detach() / temperature).softmax(0),
        reduction="batchmean",
    )
    return (1 - share) * F.cross_entropy(student, labels) + share * temperature**2 * soft


def distill_mean_over_classes(student, teacher, labels, temperature, share):
    return _distill(student, teacher, labels, temperature, share, temperature**2, "mean")


def distill_sum(student, teacher, labels, temperature, share):
    return _distill(student, teacher, labels, temperature, share, temperature**2, "sum")


def distill_not_detached(student, teacher, labels, temperature, share):
    soft = F.kl_div(
        (student / temperature).log_softmax(1),
        (teacher / temperature).softmax(1),
        reduction="batchmean",
    )
    return (1 - share) * F.cross_entropy(student, labels) + share * temperature**2 * soft


def distill_swapped_share(student, teacher, labels, temperature, share):
    return distill_kl_div(student, teacher, labels, temperature, 1 - share)


def distill_wrong_direction(student, teacher, labels, temperature, share):
    soft = F.kl_div(
        (teacher.detach() / temperature).log_softmax(1),
        (student / temperature).softmax(1),
        reduction="batchmean",
    )
    return (1 - share) * F.cross_entropy(student, labels) + share * temperature**2 * soft


def distill_no_temperature(student, teacher, labels, temperature, share):
    return distill_kl_div(student, teacher, labels, 1.0, share)


def distill_student_detached(student, teacher, labels, temperature, share):
    return distill_kl_div(student.detach(), teacher, labels, temperature, share)


def distill_six_images(student, teacher, labels, temperature, share):
    p, q = (teacher.detach() / temperature).softmax(1), (student / temperature).log_softmax(1)
    return (1 - share) * F.cross_entropy(student, labels) + share * temperature**2 * (
        p * (p.log() - q)
    ).sum() / 6


def distill_entropies(student, teacher, labels, temperature, share):
    """KL as cross entropy less entropy; torch's cross entropy takes probabilities as targets."""
    p = F.softmax(teacher.detach() / temperature, 1)
    entropy = torch.distributions.Categorical(probs=p).entropy().mean()
    soft = F.cross_entropy(student / temperature, p) - entropy
    hard = F.nll_loss(F.log_softmax(student, 1), labels)
    return hard + share * (soft * temperature**2 - hard)


def distill_student_not_softened(student, teacher, labels, temperature, share):
    soft = F.kl_div(
        student.log_softmax(1), (teacher.detach() / temperature).softmax(1), reduction="batchmean"
    )
    return (1 - share) * F.cross_entropy(student, labels) + share * temperature**2 * soft


def distill_labels_at_the_temperature(student, teacher, labels, temperature, share):
    soft = distill_kl_div(student, teacher, labels, temperature, 1.0)
    return (1 - share) * F.cross_entropy(student / temperature, labels) + share * soft


def distill_without_labels(student, teacher, labels, temperature, share):
    return share * distill_kl_div(student, teacher, labels, temperature, 1.0)


def distill_every_image(student, teacher, labels, temperature, share):
    return torch.stack(
        [
            distill_kl_div(s[None], t[None], label[None], temperature, share)
            for s, t, label in zip(student, teacher, labels)
        ]
    )


# ---- 2.2 -----------------------------------------------------------------------------------------


def sandwich_stack(choices, n, rng):
    rows = np.vstack(
        [choices - 1, np.zeros_like(choices), rng.integers(0, choices, size=(n, len(choices)))]
    )
    rows[:, 0] = rng.integers(choices[0])
    return rows


def sandwich_lists(choices, n, rng):
    resolution = int(rng.integers(0, choices[0]))
    rows = [[c - 1 for c in choices], [0] * len(choices)]
    rows += [[int(rng.random() * c) for c in choices] for _ in range(n)]
    return [[resolution, *row[1:]] for row in rows]


def sandwich_resolution_for_each(choices, n, rng):
    return np.vstack(
        [choices - 1, np.zeros_like(choices), rng.integers(0, choices, size=(n, len(choices)))]
    )


def sandwich_without_smallest(choices, n, rng):
    return sandwich_stack(choices, n, rng)[[0, *range(2, n + 2)]]


def sandwich_smallest_first(choices, n, rng):
    return sandwich_stack(choices, n, rng)[[1, 0, *range(2, n + 2)]]


def sandwich_never_largest_choice(choices, n, rng):
    rows = sandwich_stack(choices, n, rng)
    rows[2:, 1:] = rng.integers(0, choices - 1, size=(n, len(choices)))[:, 1:]
    return rows


def sandwich_off_the_end(choices, n, rng):
    rows = sandwich_stack(choices, n, rng)
    rows[0, 1:] += 1
    return rows


def sandwich_one_random_repeated(choices, n, rng):
    rows = sandwich_stack(choices, n, rng)
    rows[2:] = rows[2]
    return rows


def sandwich_largest_resolution(choices, n, rng):
    rows = sandwich_stack(choices, n, rng)
    rows[:, 0] = choices[0] - 1
    return rows


def sandwich_another_generator(choices, n, rng):
    return sandwich_stack(choices, n, np.random.default_rng(0))


def sandwich_zeroes_the_choices(choices, n, rng):
    rows = sandwich_stack(choices, n, rng)
    choices[:] = 0
    return rows


def sandwich_columns(choices, n, rng):
    columns = [rng.choice(int(c), size=n + 2) for c in choices]
    for column, count in zip(columns[1:], choices[1:]):
        column[:2] = count - 1, 0
    columns[0] = np.full(n + 2, columns[0][-1])
    return np.array(columns).T


def sandwich_one_number_for_all_genes(choices, n, rng):
    rows = sandwich_stack(choices, n, rng)
    rows[2:, 1:] = (rng.random((n, 1)) * choices[1:]).astype(int)
    return rows


def sandwich_resolution_of_the_first_gene(choices, n, rng):
    rows = sandwich_stack(choices, n, rng)
    rows[:, 0] = rows[2, 1] % choices[0]
    return rows


def sandwich_two_random(choices, n, rng):
    return sandwich_stack(choices, 2, rng)


def sandwich_full_size_without_random_ones(choices, n, rng):
    rows = sandwich_stack(choices, n, rng)
    if n == 0:
        rows[:, 0] = choices[0] - 1
    return rows


def sandwich_five_genes(choices, n, rng):
    return sandwich_stack(np.resize(choices, 5), n, rng)


def sandwich_ends_keep_their_resolution(choices, n, rng):
    rows = sandwich_stack(choices, n, rng)
    rows[0, 0], rows[1, 0] = choices[0] - 1, 0
    return rows


# ---- 2.3 -----------------------------------------------------------------------------------------


def schedule_loop(step, phases, choices):
    allowed = {name: values[-1:] for name, values in choices.items()}
    for start, name, count in phases:
        if step >= start:
            allowed[name] = choices[name][-count:]
    return allowed


def schedule_latest_first(step, phases, choices):
    counts = {
        name: next((c for start, of, c in phases[::-1] if of == name and start <= step), 1)
        for name in choices
    }
    return {
        name: sorted(sorted(values, reverse=True)[: counts[name]])
        for name, values in choices.items()
    }


def schedule_uses_up_the_phases(step, phases, choices):
    allowed = {name: values[-1:] for name, values in choices.items()}
    while phases and phases[0][0] <= step:
        _, name, count = phases.pop(0)
        allowed[name] = choices[name][-count:]
    return allowed


def schedule_largest_count(step, phases, choices):
    counts = {
        name: max([1] + [c for start, of, c in phases if of == name and start <= step])
        for name in choices
    }
    return {name: values[-counts[name] :] for name, values in choices.items()}


def schedule_starts_late(step, phases, choices):
    return schedule_loop(step - 1, phases, choices)


def schedule_smallest_first(step, phases, choices):
    allowed = schedule_loop(step, phases, choices)
    return {name: choices[name][: len(values)] for name, values in allowed.items()}


def schedule_current_phase_only(step, phases, choices):
    begun = [phase for phase in phases if phase[0] <= step]
    return schedule_loop(step, begun[-1:], choices)


def schedule_everything_at_first(step, phases, choices):
    allowed = dict(choices)
    for start, name, count in phases:
        if step >= start:
            allowed[name] = choices[name][-count:]
    return allowed


def schedule_one_too_many(step, phases, choices):
    return schedule_loop(step, [(start, name, count + 1) for start, name, count in phases], choices)


def schedule_descending(step, phases, choices):
    return {name: values[::-1] for name, values in schedule_loop(step, phases, choices).items()}


def schedule_names_of_phases(step, phases, choices):
    """Without the names that no phase is about."""
    return schedule_loop(step, phases, {name: choices[name] for _, name, _ in phases})


def schedule_three_names(step, phases, choices):
    names = ("kernel", "depth", "expand")
    return schedule_loop(step, phases, {name: choices.get(name, ()) for name in names})


def schedule_one_phase_a_step(step, phases, choices):
    by_step = {start: (name, count) for start, name, count in phases}
    return schedule_loop(step, [(start, *phase) for start, phase in by_step.items()], choices)


def schedule_needs_a_phase(step, phases, choices):
    if step < phases[0][0]:
        return schedule_loop(-1, phases, choices)
    return schedule_loop(step, phases, choices)


def schedule_counts(step, phases, choices):
    return {name: len(values) for name, values in schedule_loop(step, phases, choices).items()}


def schedule_adds_up(step, phases, choices):
    counts = dict.fromkeys(choices, 0)
    for start, name, count in phases:
        counts[name] += count if start <= step else 0
    return {name: values[-max(1, counts[name]) :] for name, values in choices.items()}


# ---- 2.4 -----------------------------------------------------------------------------------------


def gradients_backward_each(model, images, labels, archs):
    model.zero_grad()
    total = 0.0
    for arch in archs:
        loss = F.cross_entropy(model(images, arch), labels)
        loss.backward()
        total += loss.item()
    return total


def gradients_autograd(model, images, labels, archs):
    parameters = list(model.parameters())
    sums, losses = [torch.zeros_like(p) for p in parameters], []
    for arch in archs:
        loss = F.nll_loss(model(images, arch).log_softmax(1), labels)
        for total, gradient in zip(sums, torch.autograd.grad(loss, parameters)):
            total += gradient
        losses.append(loss.detach())
    for parameter, total in zip(parameters, sums):
        parameter.grad = total
    return torch.stack(losses).sum()


def gradients_checkpointed(model, images, labels, archs):
    """The model is called again in each backward."""
    total = 0.0
    model.zero_grad()
    for arch in archs:
        logits = torch.utils.checkpoint.checkpoint(model, images, arch, use_reentrant=False)
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        total += loss.item()
    return total


def gradients_checkpointed_and_summed(model, images, labels, archs):
    model.zero_grad()
    total = sum(
        F.cross_entropy(
            torch.utils.checkpoint.checkpoint(model, images, arch, use_reentrant=False), labels
        )
        for arch in archs
    )
    total.backward()
    return total.item()


def gradients_sum_then_backward(model, images, labels, archs):
    model.zero_grad()
    total = sum(F.cross_entropy(model(images, arch), labels) for arch in archs)
    total.backward()
    return total.item()


def gradients_averaged(model, images, labels, archs):
    total = gradients_backward_each(model, images, labels, archs)
    for parameter in model.parameters():
        parameter.grad /= len(archs)
    return total / len(archs)


def gradients_zeroed_each_time(model, images, labels, archs):
    total = 0.0
    for arch in archs:
        model.zero_grad()
        loss = F.cross_entropy(model(images, arch), labels)
        loss.backward()
        total += loss.item()
    return total


def gradients_added_to_old_ones(model, images, labels, archs):
    total = 0.0
    for arch in archs:
        loss = F.cross_entropy(model(images, arch), labels)
        loss.backward()
        total += loss.item()
    return total


def gradients_graph_retained(model, images, labels, archs):
    model.zero_grad()
    losses = []
    for arch in archs:
        losses.append(F.cross_entropy(model(images, arch), labels))
        losses[-1].backward(retain_graph=True)
    return sum(losses).item()


def gradients_last_loss(model, images, labels, archs):
    gradients_backward_each(model, images, labels, archs)
    return F.cross_entropy(model(images, archs[-1]), labels).item()


def gradients_with_step(model, images, labels, archs):
    total = gradients_backward_each(model, images, labels, archs)
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    return total


def gradients_summed_over_images(model, images, labels, archs):
    model.zero_grad()
    total = 0.0
    for arch in archs:
        loss = F.cross_entropy(model(images, arch), labels, reduction="sum")
        loss.backward()
        total += loss.item()
    return total


def gradients_by_hooks(model, images, labels, archs):
    """Each loss by hand, and gradients that are summed up beside the parameters."""
    sums, total = {}, 0.0
    for arch in archs:
        model.zero_grad(set_to_none=True)
        log_p = torch.log_softmax(model(images, arch), dim=-1)
        loss = -log_p[torch.arange(len(labels)), labels].sum() / len(labels)
        loss.backward()
        total = total + float(loss)
        for parameter in model.parameters():
            sums[parameter] = sums.get(parameter, 0) + parameter.grad.clone()
    for parameter, gradient in sums.items():
        parameter.grad = gradient
    return total


def gradients_of_the_first_subnet(model, images, labels, archs):
    return gradients_backward_each(model, images, labels, archs[:1])


def gradients_two_at_a_time(model, images, labels, archs):
    model.zero_grad()
    total = 0.0
    for pair in (archs[i : i + 2] for i in range(0, len(archs), 2)):
        loss = sum(F.cross_entropy(model(images, arch), labels) for arch in pair)
        loss.backward()
        total += loss.item()
    return total


def gradients_total_of_means(model, images, labels, archs):
    return gradients_backward_each(model, images, labels, archs) / len(archs)


def gradients_without_old_norm(model, images, labels, archs):
    """What was in `.grad` stays where it is, one tenth of it."""
    for parameter in model.parameters():
        parameter.grad /= 10
    return gradients_added_to_old_ones(model, images, labels, archs)


# ---- 2.5 -----------------------------------------------------------------------------------------


def step_backward_each(model, optimizer, images, labels, archs, share):
    optimizer.zero_grad()
    losses, teacher = [], None
    for arch in archs:
        logits = model(images, arch)
        loss = F.cross_entropy(logits, labels)
        if teacher is None:
            teacher = logits.detach().softmax(1)
        else:
            soft = F.kl_div(logits.log_softmax(1), teacher, reduction="batchmean")
            loss = (1 - share) * loss + share * soft
        loss.backward()
        losses.append(loss.item())
    optimizer.step()
    return losses


def step_one_backward(model, optimizer, images, labels, archs, share):
    largest, *others = [model(images, arch) for arch in archs]
    target = largest.detach().softmax(-1)
    entropy = (target * target.log()).sum(1).mean()
    losses = [F.nll_loss(largest.log_softmax(1), labels)]
    for logits in others:
        hard = F.cross_entropy(logits, labels)
        losses.append(torch.lerp(hard, F.cross_entropy(logits, target) + entropy, share))
    model.zero_grad(set_to_none=False)
    sum(losses).backward()
    optimizer.step()
    return torch.stack(losses)


def step_autograd(model, optimizer, images, labels, archs, share):
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    first = model(images, archs[0])
    losses = [F.cross_entropy(first, labels)]
    sums = list(torch.autograd.grad(losses[0], parameters))
    with torch.no_grad():
        soft = torch.softmax(first, 1)
    for arch in archs[1:]:
        log_q = model(images, arch).log_softmax(1)
        divergence = (soft * (soft.log() - log_q)).sum() / len(images)
        losses.append((1 - share) * F.nll_loss(log_q, labels) + share * divergence)
        for i, gradient in enumerate(torch.autograd.grad(losses[-1], parameters)):
            sums[i] = sums[i] + gradient
    for parameter, total in zip(parameters, sums):
        parameter.grad = total
    optimizer.step()
    return [loss.item() for loss in losses]


def stepping(
    model,
    optimizer,
    images,
    labels,
    archs,
    share,
    *,
    zero=True,
    zero_each=False,
    step=True,
    step_each=False,
    detach=True,
    reverse=False,
    scale=1.0,
    temperature=1.0,
    reduction="batchmean",
    last_teaches=False,
    hard=True,
):
    """`step_backward_each` with a slip."""
    if zero:
        optimizer.zero_grad()
    losses, teacher = [], None
    for arch in archs:
        if zero_each:
            optimizer.zero_grad()
        logits = model(images, arch)
        loss = F.cross_entropy(logits, labels)
        if teacher is not None:
            p, q = (teacher / temperature).softmax(1), (logits / temperature).softmax(1)
            if reverse:
                p, q = q, p
            soft = temperature**2 * F.kl_div(q.log(), p, reduction=reduction)
            loss = (1 - share) * loss * hard + share * soft
        if teacher is None or last_teaches:
            teacher = logits.detach() if detach else logits
        (scale * loss).backward(retain_graph=not detach)
        losses.append(loss.item())
        if step_each:
            optimizer.step()
    if step and not step_each:
        optimizer.step()
    return losses


def step_keeps_old_gradients(*arguments):
    return stepping(*arguments, zero=False)


def step_of_the_last_subnet(*arguments):
    return stepping(*arguments, zero_each=True)


def step_forgotten(*arguments):
    return stepping(*arguments, step=False)


def step_for_each_subnet(*arguments):
    return stepping(*arguments, step_each=True)


def step_teacher_learns(*arguments):
    return stepping(*arguments, detach=False)


def step_divergence_reversed(*arguments):
    return stepping(*arguments, reverse=True)


def step_averages_subnets(model, optimizer, images, labels, archs, share):
    scale = 1 / len(archs)
    return stepping(model, optimizer, images, labels, archs, share, scale=scale)


def step_softened(*arguments):
    return stepping(*arguments, temperature=2.0)


def step_mean_over_classes(*arguments):
    return stepping(*arguments, reduction="mean")


def step_sum_over_images(*arguments):
    return stepping(*arguments, reduction="sum")


def step_last_one_teaches(*arguments):
    return stepping(*arguments, last_teaches=True)


def step_teacher_beside_the_labels(*arguments):
    """The teacher's share is added to the labels' whole loss."""
    model, optimizer, images, labels, archs, share = arguments
    optimizer.zero_grad()
    losses, teacher = [], None
    for arch in archs:
        logits = model(images, arch)
        loss = F.cross_entropy(logits, labels)
        if teacher is None:
            teacher = logits.detach().softmax(1)
        else:
            soft = F.kl_div(logits.log_softmax(1), teacher, reduction="batchmean")
            loss = loss + share * soft
        loss.backward()
        losses.append(loss.item())
    optimizer.step()
    return losses


def step_teacher_only(*arguments):
    return stepping(*arguments, hard=False)


def step_swapped_share(model, optimizer, images, labels, archs, share):
    return stepping(model, optimizer, images, labels, archs, 1 - share)


def step_labels_only(model, optimizer, images, labels, archs, share):
    return stepping(model, optimizer, images, labels, archs, 0.0)


def step_smallest_teaches(model, optimizer, images, labels, archs, share):
    return stepping(model, optimizer, images, labels, archs[::-1], share)[::-1]


def step_calls_the_teacher_again(model, optimizer, images, labels, archs, share):
    optimizer.zero_grad()
    losses = []
    for i, arch in enumerate(archs):
        logits = model(images, arch)
        loss = F.cross_entropy(logits, labels)
        if i:
            with torch.no_grad():
                teacher = model(images, archs[0]).softmax(1)
            soft = F.kl_div(logits.log_softmax(1), teacher, reduction="batchmean")
            loss = (1 - share) * loss + share * soft
        loss.backward()
        losses.append(loss.item())
    optimizer.step()
    return losses


def step_descends_itself(model, optimizer, images, labels, archs, share):
    """Moves the weights without the optimizer, and so without its momentum."""
    losses = stepping(model, optimizer, images, labels, archs, share, step=False)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= optimizer.param_groups[0]["lr"] * parameter.grad
    return losses


def step_cross_entropy_with_the_teacher(model, optimizer, images, labels, archs, share):
    """Whose gradients are right, and whose losses are not."""
    optimizer.zero_grad()
    losses, teacher = [], None
    for arch in archs:
        logits = model(images, arch)
        loss = F.cross_entropy(logits, labels)
        if teacher is None:
            teacher = logits.detach().softmax(1)
        else:
            loss = (1 - share) * loss + share * F.cross_entropy(logits, teacher)
        loss.backward()
        losses.append(loss.item())
    optimizer.step()
    return losses


def step_sum_of_losses(*arguments):
    return sum(step_backward_each(*arguments))


def step_first_loss(*arguments):
    return step_backward_each(*arguments)[:1]


def step_three_subnets(model, optimizer, images, labels, archs, share):
    largest, smallest, another = archs
    return step_backward_each(model, optimizer, images, labels, [largest, smallest, another], share)


RIGHT = {
    "2.1": [distill_entropies, distill_kl_div, distill_by_hand],
    "2.2": [sandwich_columns, sandwich_stack, sandwich_lists],
    "2.3": [schedule_loop, schedule_latest_first, schedule_uses_up_the_phases],
    "2.4": [
        gradients_by_hooks,
        gradients_backward_each,
        gradients_autograd,
        gradients_checkpointed,
    ],
    "2.5": [step_backward_each, step_one_backward, step_autograd],
}
WRONG = {
    "2.1": [
        distill_student_not_softened,
        distill_labels_at_the_temperature,
        distill_without_labels,
        distill_every_image,
        distill_no_square,
        distill_factor_not_squared,
        distill_logits_not_divided,
        distill_without_share,
        distill_softmax_over_images,
        distill_mean_over_classes,
        distill_sum,
        distill_not_detached,
        distill_swapped_share,
        distill_wrong_direction,
        distill_no_temperature,
        distill_student_detached,
        distill_six_images,
    ],
    "2.2": [
        sandwich_one_number_for_all_genes,
        sandwich_resolution_of_the_first_gene,
        sandwich_two_random,
        sandwich_five_genes,
        sandwich_full_size_without_random_ones,
        sandwich_ends_keep_their_resolution,
        sandwich_resolution_for_each,
        sandwich_without_smallest,
        sandwich_smallest_first,
        sandwich_never_largest_choice,
        sandwich_off_the_end,
        sandwich_one_random_repeated,
        sandwich_largest_resolution,
        sandwich_another_generator,
        sandwich_zeroes_the_choices,
    ],
    "2.3": [
        schedule_names_of_phases,
        schedule_three_names,
        schedule_one_phase_a_step,
        schedule_needs_a_phase,
        schedule_counts,
        schedule_adds_up,
        schedule_starts_late,
        schedule_smallest_first,
        schedule_current_phase_only,
        schedule_everything_at_first,
        schedule_one_too_many,
        schedule_descending,
        schedule_largest_count,
    ],
    "2.4": [
        gradients_of_the_first_subnet,
        gradients_two_at_a_time,
        gradients_total_of_means,
        gradients_without_old_norm,
        gradients_sum_then_backward,
        gradients_checkpointed_and_summed,
        gradients_averaged,
        gradients_zeroed_each_time,
        gradients_added_to_old_ones,
        gradients_graph_retained,
        gradients_last_loss,
        gradients_with_step,
        gradients_summed_over_images,
    ],
    "2.5": [
        step_keeps_old_gradients,
        step_of_the_last_subnet,
        step_forgotten,
        step_for_each_subnet,
        step_teacher_learns,
        step_divergence_reversed,
        step_averages_subnets,
        step_softened,
        step_mean_over_classes,
        step_sum_over_images,
        step_last_one_teaches,
        step_teacher_beside_the_labels,
        step_teacher_only,
        step_swapped_share,
        step_labels_only,
        step_smallest_teaches,
        step_calls_the_teacher_again,
        step_descends_itself,
        step_cross_entropy_with_the_teacher,
        step_sum_of_losses,
        step_first_loss,
        step_three_subnets,
    ],
}
